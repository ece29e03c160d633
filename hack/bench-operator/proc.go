package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc: USER_HZ is 100 wherever Go runs on Linux.
const tick = time.Second / 100

// cpu returns the CPU time that a process has used.
func cpu(pid int) (time.Duration, error) {
	fields, _, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	if errUser != nil || errSystem != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: no numbers", pid)
	}
	return time.Duration(user+system) * tick, nil
}

// stat returns the fields of /proc/<pid>/stat after the name, and the name.
func stat(pid int) (fields []string, name string, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, "", fmt.Errorf("reading process %d: %w", pid, err)
	}
	text := string(data)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return nil, "", fmt.Errorf("reading process %d: /proc is not as on Linux", pid)
	}
	fields = strings.Fields(text[end+1:])
	if len(fields) < 13 {
		return nil, "", fmt.Errorf("reading process %d: /proc is not as on Linux", pid)
	}
	return fields, text[open+1 : end], nil
}

// memory returns a line of /proc/<pid>/status in bytes: VmRSS is what a process
// has in memory now, VmHWM the most that it ever had.
func memory(pid int, line string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading process %d: %w", pid, err)
	}
	for text := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(text, line+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("reading process %d: it has no %s", pid, line)
}

// child returns the process of a name that this one started.
func child(name string) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fields, is, err := stat(pid)
		if err == nil && is == name && fields[1] == strconv.Itoa(os.Getpid()) { // else it has ended meanwhile
			return pid, nil
		}
	}
	return 0, fmt.Errorf("there is no process %q", name)
}
