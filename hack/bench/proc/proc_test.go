package proc

import (
	"os"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end, n := time.Now().Add(100*time.Millisecond), 0; time.Now().Before(end); n++ {
		_ = n * n
	}
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.CPU <= before.CPU {
		t.Errorf("processor time went from %s to %s while this was busy", before.CPU, after.CPU)
	}
	if after.Memory < 1<<20 {
		t.Errorf("this process has %d bytes of memory: too little to be true", after.Memory)
	}
}

func TestReadGone(t *testing.T) {
	if _, err := Read(1 << 30); err == nil {
		t.Error("a process that cannot be was read")
	}
}

func TestParseStat(t *testing.T) {
	s, err := parseStat("42 (a ) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0")
	if err != nil {
		t.Fatal(err)
	}
	if want := (stat{pid: 42, parent: 7, cpu: 1100 * time.Millisecond}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, line := range []string{"", "42", "42 (x", "42 (x) S 7", "x (x) S 7 0 0 0 0 0 0 0 0 0 1 2 3 4 5"} {
		if _, err := parseStat(line); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}

func TestTree(t *testing.T) {
	stats := []stat{{pid: 5, parent: 4}, {pid: 3, parent: 1}, {pid: 4, parent: 3}, {pid: 9, parent: 1}}
	var got []int
	for _, s := range tree(stats, 3) {
		got = append(got, s.pid)
	}
	if len(got) != 3 || got[0] != 3 || got[1] != 4 || got[2] != 5 {
		t.Errorf("the tree below 3 is %v, want 3 4 5", got)
	}
}
