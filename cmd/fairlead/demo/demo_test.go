package demo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var program = demo.Program{Version: "test", Exit: os.Exit}

const samples = "../../../config/samples"

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := demo.Run(t.Context(), []string{samples}, program, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"legacy twin", "unlisted address", "gzipped", "three times", "forged"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no line on %q:\n%s", want, out.String())
		}
	}
	for _, want := range []string{
		`stream-chat +before-message-send +Good morning, all +200 OK +passes `,
		`stream-chat +before-message-send +What the heck +200 OK +rewritten: What the \*\*\*\* `,
		`stream-chat +before-message-send +Cheap pills here +200 OK +refused: This message did not meet our guidelines\. `,
		`stream-chat +before-message-send +Good morning, all \(forged\) +401 Unauthorized +- `,
		`stream-chat +custom-commands +/echo Good morning, all +200 OK +rewritten: Good morning, all `,
		`stream-chat +custom-commands +/dance +200 OK +refused: There is no such command\. `,
		`social-plus +pre-hook +What the heck +200 OK +rewritten `,
		`social-plus +pre-hook +Cheap pills here +200 OK +refused: `,
		`stream-chat +before-message-send +Good morning, all \(moderator down\) +200 OK +passes `,
		`stream-chat +custom-commands +Good morning, all \(moderator down\) +200 OK +refused: This command is not available `,
		`social-plus +pre-hook +Good morning, all \(moderator down\) +200 OK +refused: `,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("the table has no line like %q", want)
		}
	}
	t.Log("\n" + out.String())
}

// A receiver that does not deliver what it should makes the demo fail.
func TestDemoFails(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(samples, "stream-chat.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "never.yaml")
	wrong := strings.Replace(string(text), "  sinks:\n  - name: app\n", "  sinks:\n  - name: app\n    types: [never.*]\n", 1)
	if err := os.WriteFile(name, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := demo.Run(t.Context(), []string{name}, program, &out); err == nil || !strings.Contains(out.String(), "WRONG") {
		t.Errorf("err = %v, and the table is\n%s", err, out.String())
	}
}
