package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	const log = `{"verb":"patch","objectRef":{"resource":"configmaps"},"responseStatus":{"code":201}}
{"verb":"patch","objectRef":{"resource":"deployments"},"responseStatus":{"code":409}}
{"verb":"patch","objectRef":{"resource":"webhookendpoints","subresource":"status"},"responseStatus":{"code":200}}
{"verb":"create","objectRef":{"resource":"events"},"responseStatus":{"code":201}}
{"verb":"delete","objectRef":{"resource":"services"},"responseStatus":{"code":200}}
{"verb":"get","objectRef":{"resource":"configmaps"},"responseStatus":{"code":404}}
`
	got, n, err := count(strings.NewReader(log + `{"verb":"pa`)) // the last one is being written
	if err != nil {
		t.Fatal(err)
	}
	want := counts{applies: 2, statuses: 1, events: 1, deletes: 1, refused: 1, gets: 1}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(counts{})); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if got.writes() != 5 || int(n) != len(log) {
		t.Errorf("%d writes in %d bytes, want 5 in %d", got.writes(), n, len(log))
	}
	if _, _, err := count(strings.NewReader("no JSON\n")); err == nil {
		t.Error("a log that is none was counted")
	}
}

func TestRow(t *testing.T) {
	for name, tt := range map[string]struct {
		row          row
		aim, verdict string
	}{
		"below":  {row{unit: "s", aim: 60, measured: 59}, "≤ 60 s", "reached"},
		"above":  {row{unit: "MiB", aim: 150, measured: 150.5}, "≤ 150 MiB", "MISSED"},
		"none":   {row{aim: 0, measured: 0}, "0", "reached"},
		"some":   {row{aim: 0, measured: 1}, "0", "MISSED"},
		"no aim": {row{unit: "s", aim: noAim, measured: 9}, "", ""},
	} {
		if tt.row.aimText() != tt.aim || tt.row.verdict() != tt.verdict {
			t.Errorf("%s: %q, %q; want %q, %q", name, tt.row.aimText(), tt.row.verdict(), tt.aim, tt.verdict)
		}
	}
}

func TestProc(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip(err)
	}
	rss, err := memory(os.Getpid(), "VmRSS")
	if err != nil || rss < mib {
		t.Errorf("this process has %d bytes in memory, %v", rss, err)
	}
	if used, err := cpu(os.Getpid()); err != nil || used < 0 {
		t.Errorf("this process has used %v, %v", used, err)
	}
	if _, err := child("no such program"); err == nil {
		t.Error("found a process that is not there")
	}
}

func TestAtOnce(t *testing.T) {
	var done atomic.Int32
	if err := atOnce(t.Context(), 100, func(context.Context, int) error { done.Add(1); return nil }); err != nil || done.Load() != 100 {
		t.Errorf("did %d of 100, %v", done.Load(), err)
	}
	broken := errors.New("broken")
	err := atOnce(t.Context(), 1000, func(_ context.Context, i int) error {
		if i == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v, want %v", err, broken)
	}
}

func TestManifestEnv(t *testing.T) {
	t.Chdir("../..")
	if _, err := manifestEnv(); err != nil {
		t.Error(err)
	}
}
