package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// journal writes to the log what a person should know, at most so many lines of
// each kind a minute. What is left out is counted in the next line of its kind.
type journal struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	kinds map[string]*quota
}

// linesPerMinute bounds the log's lines of one kind and one sink.
const linesPerMinute = 10

// quota counts the lines of one kind within a minute.
type quota struct {
	since   time.Time
	written int
	omitted int
}

func newJournal(logger *slog.Logger, sink string, now func() time.Time) *journal {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &journal{logger: logger.With("sink", sink), now: now, kinds: map[string]*quota{}}
}

func (j *journal) failed(id, text string) {
	j.write(slog.LevelWarn, "sink failed; its deliveries are tried again", "event", id, "error", text)
}

func (j *journal) opened(text string) {
	j.write(slog.LevelWarn, "sink keeps failing; its deliveries wait, and one at a time probes it", "error", text)
}

func (j *journal) recovered(failures int64) {
	j.write(slog.LevelInfo, "sink works again", "failures", failures)
}

func (j *journal) dead(id, class, reason string) {
	j.write(slog.LevelWarn, "delivery became a dead letter", "event", id, "class", class, "reason", reason)
}

func (j *journal) panicked(id string, err error, stack []byte) {
	j.write(slog.LevelError, "sink panicked", "event", id, "error", err.Error(), "stack", string(stack))
}

func (j *journal) leaseFailed(err error) {
	j.write(slog.LevelError, "queue gave no delivery", "error", err.Error())
}

func (j *journal) closeFailed(err error) {
	j.write(slog.LevelWarn, "sink was not closed properly", "error", bounded(err.Error()))
}

func (j *journal) write(level slog.Level, message string, args ...any) {
	omitted, ok := j.admit(message)
	if !ok {
		return
	}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	j.logger.Log(context.Background(), level, message, args...)
}

// admit reports whether a line may be written, and how many of its kind were
// left out before it.
func (j *journal) admit(kind string) (omitted int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.kinds[kind]
	if q == nil {
		q = &quota{}
		j.kinds[kind] = q
	}
	if now := j.now(); now.Sub(q.since) >= time.Minute {
		q.since, q.written = now, 0
	}
	if q.written >= linesPerMinute {
		q.omitted++
		return 0, false
	}
	q.written++
	omitted, q.omitted = q.omitted, 0
	return omitted, true
}
