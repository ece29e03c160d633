package main

import "syscall"

// attributes let a process end with this program, even if that is killed, and
// keep a terminal's Ctrl-C from it: this program ends it in its own time.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
