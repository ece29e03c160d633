package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ErrStopped means that ctx ended before all was done. What was done is done.
var ErrStopped = errors.New("stopped before all was done")

// Bulk does something with many items, batch by batch and at a rate. A batch that
// the receiver has no room for is made smaller, and at last waited with.
type Bulk[T any] struct {
	Items []T
	// Rate bounds the items a second; 0 is no bound.
	Rate int
	// Most bounds a batch.
	Most int
	// Do does a batch, all of it or nothing, and returns how many items were not
	// there. It is not cut off by the end of Run's ctx.
	Do func(ctx context.Context, batch []T) (missing int, err error)
	// Progress is told how it goes on; may be nil.
	Progress *Progress
	Now      func() time.Time

	// Done counts the items that were dealt with, Missing those of them that were not
	// there.
	Done, Missing int
}

// Run deals with all items. When ctx ends, the batch under way is finished, and
// the error is ErrStopped.
func (b *Bulk[T]) Run(ctx context.Context) error {
	most, began := b.first(), b.Now()
	for b.Done < len(b.Items) {
		if ctx.Err() != nil {
			return ErrStopped
		}
		n := min(most, len(b.Items)-b.Done)
		missing, err := b.Do(context.WithoutCancel(ctx), b.Items[b.Done:b.Done+n])
		wait, full := IsFull(err)
		switch {
		case err == nil:
			b.Done, b.Missing = b.Done+n, b.Missing+missing
			b.Progress.show(b.Done, len(b.Items), b.Now().Sub(began), "")
			wait, most = b.due(n), min(2*most, b.first())
		case full && n > 1:
			most, wait = (n+1)/2, 0
		case full:
			b.Progress.show(b.Done, len(b.Items), b.Now().Sub(began), err.Error())
		default:
			return err
		}
		if b.Done < len(b.Items) && !pause(ctx, wait) {
			return ErrStopped
		}
	}
	return nil
}

// first returns the size of a batch: about four of them a second.
func (b *Bulk[T]) first() int {
	if b.Rate <= 0 {
		return b.Most
	}
	return max(1, min(b.Most, b.Rate/4))
}

// due returns how long to wait after a batch: what its items have at the rate.
func (b *Bulk[T]) due(batch int) time.Duration {
	if b.Rate <= 0 {
		return 0
	}
	return time.Duration(batch) * time.Second / time.Duration(b.Rate)
}

// pause waits, and reports whether it was for all of the time.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Progress tells a person how far something is: on one line that is written anew,
// or, where nobody looks, on a line from time to time.
type Progress struct {
	out      io.Writer
	verb     string
	terminal bool
	now      func() time.Time
	next     time.Time
	shown    bool
}

const (
	// often is how often a terminal is written to, and seldom a file.
	often  = time.Second
	seldom = 5 * time.Second
)

// NewProgress returns what shows progress on w; verb is like "replayed".
func NewProgress(w io.Writer, verb string, now func() time.Time) *Progress {
	p := &Progress{out: w, verb: verb, now: now, terminal: isTerminal(w)}
	p.next = now().Add(often)
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *Progress) show(done, all int, took time.Duration, waiting string) {
	if p == nil || p.now().Before(p.next) {
		return
	}
	p.next = p.now().Add(seldom)
	line := fmt.Sprintf("%s %d of %d", p.verb, done, all)
	if rate := float64(done) / took.Seconds(); done > 0 && took > 0 {
		left := time.Duration(float64(all-done) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf(", %.0f/s, %s left", rate, left)
	}
	if waiting != "" {
		line += "; waiting: " + waiting
	}
	if p.terminal {
		p.next = p.now().Add(often)
		p.shown = true
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// End leaves the line that is written anew.
func (p *Progress) End() {
	if p != nil && p.shown {
		fmt.Fprintln(p.out)
	}
}
