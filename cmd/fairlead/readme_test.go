package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead-dev/fairlead/hack/readme"
)

// repository is the root of it, from here.
const repository = "../.."

// written writes a command of a page to a file, to be run by sh. Other programs may
// have the addresses that stand in it, so they are replaced.
func written(ts *testscript.TestScript, neg bool, args []string) {
	t := typed(ts)
	if len(args) == 1 && args[0] == "-all" {
		for _, c := range t.Left() {
			ts.Logf("not typed: %s", c)
		}
		if len(t.Left()) > 0 {
			ts.Fatalf("%d commands were not typed", len(t.Left()))
		}
		return
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: written PAGE TEXT FILE, or written -all")
	}
	c, err := t.Next(args[0], args[1])
	ts.Check(err)
	text := addresses(ts).Replace(c.Text)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte("exec "+text+"\n"), 0o600))
}

func typed(ts *testscript.TestScript) *readme.Typed {
	s := ts.Value("server").(*scriptServer)
	if s.typed == nil {
		t, err := readme.ToType(repository, readme.Script)
		ts.Check(err)
		s.typed = t
	}
	return s.typed
}

// addresses turns what a page says into what holds for a script.
func addresses(ts *testscript.TestScript) *strings.Replacer {
	return strings.NewReplacer("bin/fairlead ", "fairlead ", "127.0.0.1:8080", ts.Getenv("LISTEN"), "127.0.0.1:8081", ts.Getenv("ADMIN"))
}

// shown writes a block of YAML of a page to a file.
func shown(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	blocks, err := readme.ReadBlocks(repository, args[0])
	ts.Check(err)
	for _, b := range blocks {
		if b.Language != "yaml" {
			continue
		}
		if n--; n == 0 {
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.Join(b.Lines, "\n")+"\n"), 0o600))
			return
		}
	}
	ts.Fatalf("%s has no such block", filepath.Base(args[0]))
}
