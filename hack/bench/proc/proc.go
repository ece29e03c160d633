// Package proc reads from /proc what a process and its descendants have used. It
// works on Linux only; elsewhere everything reads as an error.
package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: user space sees 100 per second on
// every architecture that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what a process tree has used since it began. Processes that have
// ended are in CPU if their parent has waited for them.
type Usage struct {
	CPU     time.Duration
	Memory  int64 // resident bytes now; shared pages are divided among their users
	Written int64 // bytes sent to storage
}

// stat is what a line of /proc/PID/stat tells.
type stat struct {
	pid, parent int
	cpu         time.Duration
}

// Read returns what the tree below root has used.
func Read(root int) (Usage, error) {
	stats, err := readStats()
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	found := false
	for _, s := range tree(stats, root) {
		found = true
		u.CPU += s.cpu
		u.Memory += field(s.pid, "smaps_rollup", "Pss:") << 10
		u.Written += field(s.pid, "io", "write_bytes:")
	}
	if !found {
		return Usage{}, fmt.Errorf("reading process %d: it is gone", root)
	}
	return u, nil
}

// readStats returns the stat of every process.
func readStats() ([]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		return nil, errors.New("reading /proc: there are no processes")
	}
	stats := make([]stat, 0, len(files))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended since
		}
		s, err := parseStat(string(data))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f, err)
		}
		stats = append(stats, s)
	}
	return stats, nil
}

// parseStat reads a stat line: PID (NAME) STATE PARENT …; the name may hold
// anything, parentheses included.
func parseStat(line string) (stat, error) {
	begin, end := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ')')
	if begin < 0 || end < begin {
		return stat{}, errors.New("not a stat line")
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 15 {
		return stat{}, errors.New("not a whole stat line")
	}
	numbers := make([]int, 0, 6)
	// Parent; then user and system time of its own, and of children waited for.
	for _, f := range []string{line[:begin], fields[1], fields[11], fields[12], fields[13], fields[14]} {
		n, err := strconv.Atoi(f)
		if err != nil {
			return stat{}, fmt.Errorf("not a stat line: %w", err)
		}
		numbers = append(numbers, n)
	}
	s := stat{pid: numbers[0], parent: numbers[1]}
	for _, n := range numbers[2:] {
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// tree returns root and its descendants.
func tree(stats []stat, root int) []stat {
	children := map[int][]stat{}
	var out []stat
	for _, s := range stats {
		children[s.parent] = append(children[s.parent], s)
		if s.pid == root {
			out = append(out, s)
		}
	}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i].pid]...)
	}
	return out
}

// field returns the number behind a name in one of a process's files; 0 if it
// cannot be read, for the process may have ended since.
func field(pid int, file, name string) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}
