package server

import "log/slog"

// exitDisk is the exit status of a process whose disk failed it.
const exitDisk = 74 // EX_IOERR of sysexits.h

// DiskFailed returns the Fatal of a program that ends by exit (os.Exit, but in
// tests): the disk cannot be trusted any more, so the process ends at once,
// without a 2xx for anything that is not synced. What was synced is there at the
// next start.
func DiskFailed(log *slog.Logger, exit func(code int)) func(error) {
	return func(err error) {
		log.Error("The queue's disk failed; ending at once so that nothing is acknowledged that is not stored", "err", err)
		exit(exitDisk)
	}
}
