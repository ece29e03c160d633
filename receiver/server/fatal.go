package server

import (
	"log/slog"
	"os"
)

// exitDisk is the exit status of a process whose disk failed it.
const exitDisk = 74 // EX_IOERR of sysexits.h

// Exit returns the Fatal of a program: the disk cannot be trusted any more, so
// the process ends at once, without a 2xx for anything that is not synced. What
// was synced is there at the next start.
func Exit(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("The queue's disk failed; ending at once so that nothing is acknowledged that is not stored", "err", err)
		os.Exit(exitDisk)
	}
}
