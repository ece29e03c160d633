package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxErrors bounds how many errors a connection meets before it gives up.
const maxErrors = 50

// A Load says how a system is driven.
type Load struct {
	Addr  string // host:port; must be a loopback address
	Pool  *Pool
	Conns int
	// Warm is how long requests are sent before they are counted.
	Warm time.Duration
	// For is how long they are counted.
	For time.Duration
	// Rate is requests per second, spread over the connections: an open loop, in
	// which a latency begins at the moment the request was due, sent or not. 0 is
	// a closed loop: each connection sends as soon as it has its answer.
	Rate float64
	// Next numbers requests, so that ids stay unique over several loads. Required.
	Next *atomic.Uint64
	// Begin and End, where set, are called as counting begins and ends.
	Begin, End func()
}

// A Result is what was counted. Answers that came after the end are not in it.
type Result struct {
	OK      uint64         // answers with a 2xx status
	Refused map[int]uint64 // other answers by status
	Errors  uint64
	Cause   error // one of the errors
	// Sent is how many 2xx answers there were in all, those of the warm-up and
	// after the end included.
	Sent    uint64
	Latency Histogram // of the 2xx answers
	Elapsed time.Duration
}

// PerSecond is the rate of 2xx answers.
func (r *Result) PerSecond() float64 { return float64(r.OK) / r.Elapsed.Seconds() }

// Check returns an error if not every answer was a 2xx: such a run says nothing.
func (r *Result) Check() error {
	switch {
	case r.Errors > 0:
		return fmt.Errorf("%d requests got no answer; one of them: %w", r.Errors, r.Cause)
	case len(r.Refused) > 0:
		return fmt.Errorf("%d requests were answered 2xx, others (status:times) %v", r.OK, r.Refused)
	case r.OK == 0:
		return errors.New("no request was answered")
	}
	return nil
}

// driver is a Load at work.
type driver struct {
	Load
	start    time.Time
	due      atomic.Int64 // open loop: the next request's place in the schedule
	counting atomic.Bool
}

// Run drives the system and returns what was counted. It ends early, with ctx's
// error, when ctx does.
func (l Load) Run(ctx context.Context) (*Result, error) {
	if err := checkLoopback(l.Addr); err != nil {
		return nil, err
	}
	d := &driver{Load: l, start: time.Now()}
	work, stop := context.WithCancel(ctx)
	defer stop()
	results := make([]Result, l.Conns)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { d.drive(work, &results[i]) })
	}
	err := wait(ctx, l.Warm)
	elapsed := time.Duration(0)
	if err == nil {
		elapsed, err = d.count(ctx)
	}
	stop()
	wg.Wait()
	if err != nil {
		return nil, fmt.Errorf("sending requests: %w", err)
	}
	return sum(results, elapsed), nil
}

// count lets answers be counted for as long as the load says.
func (d *driver) count(ctx context.Context) (time.Duration, error) {
	if d.Begin != nil {
		d.Begin()
	}
	begin := time.Now()
	d.counting.Store(true)
	err := wait(ctx, d.For)
	d.counting.Store(false)
	elapsed := time.Since(begin)
	if d.End != nil {
		d.End()
	}
	return elapsed, err
}

// drive sends requests over one connection until ctx ends.
func (d *driver) drive(ctx context.Context, res *Result) {
	c := &client{addr: d.Addr}
	defer c.close()
	buf := make([]byte, 0, 2*BodySize)
	for ctx.Err() == nil && res.Errors < maxErrors {
		begin, ok := d.turn(ctx)
		if !ok {
			return
		}
		buf = d.Pool.appendTo(buf[:0], d.Next.Add(1))
		status, err := c.send(ctx, buf)
		if err != nil && ctx.Err() != nil {
			return // the load has ended: no fault of the system's
		}
		res.note(status, err, time.Since(begin), d.counting.Load())
	}
}

// turn waits until the next request is due and returns that moment.
func (d *driver) turn(ctx context.Context) (time.Time, bool) {
	if d.Rate == 0 {
		return time.Now(), true
	}
	i := d.due.Add(1) - 1
	due := d.start.Add(time.Duration(float64(i) / d.Rate * float64(time.Second)))
	return due, wait(ctx, time.Until(due)) == nil
}

// note counts one answer.
func (r *Result) note(status int, err error, took time.Duration, counting bool) {
	ok := err == nil && status >= 200 && status < 300
	switch {
	case err != nil:
		r.Errors++
		r.Cause = err
		return
	case ok:
		r.Sent++
	}
	switch {
	case !counting:
	case ok:
		r.OK++
		r.Latency.Add(took)
	default:
		if r.Refused == nil {
			r.Refused = map[int]uint64{}
		}
		r.Refused[status]++
	}
}

// sum adds up what the connections counted.
func sum(results []Result, elapsed time.Duration) *Result {
	all := &Result{Refused: map[int]uint64{}, Elapsed: elapsed}
	for i := range results {
		r := &results[i]
		all.OK += r.OK
		all.Sent += r.Sent
		all.Errors += r.Errors
		if r.Cause != nil {
			all.Cause = r.Cause
		}
		for status, n := range r.Refused {
			all.Refused[status] += n
		}
		all.Latency.Merge(&r.Latency)
	}
	return all
}

// wait returns after d, or with ctx's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ErrNotLoopback is returned for a target on another machine: this program makes
// as much load as it can, and nobody else's machine may get it.
var ErrNotLoopback = errors.New("only a loopback address may be a target")

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("reading address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q: %w", addr, ErrNotLoopback)
	}
	return nil
}
