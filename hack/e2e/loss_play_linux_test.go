package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

// programsVariable is the folder with the prober, which run.sh builds.
const programsVariable = "FAIRLEAD_E2E_PROGRAMS"

// every is how often a provider sends an event.
const every = 10 * time.Millisecond

// player is a provider that sends events to an endpoint from a client host, as long
// as it is told to.
type player struct {
	provider, url, secretFile string
	host                      *host
	dir                       string
	runs                      int

	cmd    *exec.Cmd
	lines  string // the file with the results
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// newPlayer makes a player on a host of its own. It signs as the file says, which
// has the entry and the secret.
func newPlayer(t *testing.T, on *host, provider, url, secret string) *player {
	t.Helper()
	p := &player{provider: provider, url: url, host: on, dir: t.TempDir()}
	p.secretFile = filepath.Join(p.dir, "secret")
	p.sign(t, secret)
	return p
}

// sign has the player sign with another secret, from the next event on.
func (p *player) sign(t *testing.T, secret string) {
	t.Helper()
	if err := os.WriteFile(p.secretFile+".new", []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.secretFile+".new", p.secretFile); err != nil {
		t.Fatal(err)
	}
}

// begin has the player send.
func (p *player) begin(t *testing.T, interval time.Duration) {
	t.Helper()
	p.runs++
	p.lines = filepath.Join(p.dir, fmt.Sprint("run", p.runs))
	p.stdout.Reset()
	p.stderr.Reset()
	p.cmd = exec.Command(filepath.Join(os.Getenv(programsVariable), "prober"), "--provider="+p.provider, "--url="+p.url,
		"--secret-file="+p.secretFile, "--out="+p.lines, "--interval="+interval.String(), fmt.Sprintf("--prefix=%s-%d-%d-", filepath.Base(p.dir), time.Now().UnixNano(), p.runs))
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.host.start(p.cmd); err != nil {
		t.Fatalf("starting the prober: %v", err)
	}
}

// done is what has become of events so far.
func (p *player) done() ([]probe.Result, error) {
	f, err := os.Open(p.lines)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []probe.Result
	s := bufio.NewScanner(f)
	for s.Scan() {
		var r probe.Result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			break // the last line is being written
		}
		all = append(all, r)
	}
	return all, s.Err()
}

// more waits until so many more events have become of something.
func (p *player) more(t *testing.T, n int) {
	t.Helper()
	want := -1
	eventually(t, awhile, fmt.Sprintf("%d events of %s", n, p.provider), func(context.Context) error {
		all, err := p.done()
		if err != nil {
			return err
		}
		if want < 0 {
			want = len(all) + n
		}
		if len(all) < want {
			return fmt.Errorf("there are %d of %d: %s", len(all), want, p.stderr.String())
		}
		return nil
	})
}

// end has the player stop, and returns what became of all events.
func (p *player) end(t *testing.T) ([]probe.Result, *probe.Summary) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("ending the prober: %v", err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("ending the prober: %v: %s", err, p.stderr.String())
	}
	var s probe.Summary
	if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	all, err := p.done()
	if err != nil || len(all) != s.Sent {
		t.Fatalf("the prober tells of %d of %d events: %v", len(all), s.Sent, err)
	}
	return all, &s
}

// said is a summary for the table: what was sent, and every other answer than 200.
func said(s *probe.Summary) string {
	parts := []string{fmt.Sprintf("%d sent", s.Sent)}
	for status, n := range s.Answered {
		parts = append(parts, fmt.Sprintf("%d answered %s", n, status))
	}
	unanswered := 0
	for _, n := range s.Unanswered {
		unanswered += n
	}
	parts = append(parts, fmt.Sprintf("%d unanswered", unanswered))
	for o, n := range s.Unanswered {
		parts = append(parts, fmt.Sprintf("of these %d %s", n, o))
	}
	return strings.Join(parts, ", ")
}
