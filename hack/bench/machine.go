package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// printMachine says what the figures were measured on, the disk first of all:
// a durable system is as fast as its disk's flush, and some disks pretend.
func printMachine(w io.Writer, dir string) {
	fmt.Fprintf(w, "machine   %d CPUs, %s, memory %s\n", runtime.NumCPU(), cpuModel(), firstValue("/proc/meminfo", "MemTotal:"))
	fmt.Fprintf(w, "system    %s/%s %s, %s\n", runtime.GOOS, runtime.GOARCH, line("/proc/sys/kernel/osrelease"), runtime.Version())
	fmt.Fprintf(w, "disk      %s, 4 KiB write and fsync %s (median of 200)\n", filesystem(dir), flushTime(dir))
	fmt.Fprintf(w, "load      %s\n", line("/proc/loadavg"))
}

// flushTime is the median time that a small write takes to reach the disk.
func flushTime(dir string) string {
	f, err := os.CreateTemp(dir, "flush-")
	if err != nil {
		return "unknown"
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	times := make([]time.Duration, 200)
	for i := range times {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return "unknown"
		}
		if err := f.Sync(); err != nil {
			return "unknown"
		}
		times[i] = time.Since(begin)
	}
	slices.Sort(times)
	return times[len(times)/2].Round(time.Microsecond).String()
}

// filesystem names the kind of file system that a folder is on.
func filesystem(dir string) string {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "unknown"
	}
	return mountedOn(abs, string(mounts))
}

// mountedOn finds the mount with the longest path above dir.
func mountedOn(dir, mounts string) string {
	kind, longest := "unknown", -1
	for l := range strings.Lines(mounts) {
		f := strings.Fields(l)
		if len(f) < 3 || len(f[1]) < longest {
			continue
		}
		if f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/") {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for l := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// firstValue returns what stands behind a name in a file.
func firstValue(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for l := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(l, name); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

func line(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}
