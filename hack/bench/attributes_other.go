//go:build !linux

package main

import "syscall"

// attributes are the usual ones: no other system has a signal for the death of
// the parent.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
