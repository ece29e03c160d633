package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/hack/bench/load"
	"github.com/fairlead-dev/fairlead/hack/bench/proc"
)

// The ways in which systems are driven.
const (
	poolSize    = 8192
	closedConns = 64
	openRate    = 1000
	warmUp      = time.Second      // at the beginning of a load, not counted
	settle      = time.Second      // between ready and the look at the idle memory
	drainLimit  = 10 * time.Second // for what is queued to reach the sink
)

// figures is what one system did in one round. What was not measured is 0.
type figures struct {
	perSecond float64       // 2xx answers, closed loop, 64 connections
	cpu       time.Duration // of the system's processes, per 1000 of those
	written   float64       // bytes to storage, per one of those
	openP50   time.Duration // at 1000 a second, from the moment each was due
	openP99   time.Duration
	singleP50 time.Duration // closed loop, 1 connection
	ready     time.Duration // from the start of the process to its first ready
	idle      int64         // bytes of memory, before the first request
	loaded    int64         // the most that was seen during the closed loop

	delivered float64 // events per second that reached the sink meanwhile
	backlog   int     // accepted and not delivered when the closed loop ended
	drained   time.Duration
	missing   int // accepted and not delivered when the wait for them ended
	again     int // deliveries of what had been delivered
}

// A bench holds what every measurement needs.
type bench struct {
	self   string // this program
	dir    string // for data and logs; removed at the end
	secret string
	each   time.Duration // how long each load is counted
	warm   time.Duration
	settle time.Duration
	pool   int    // how many requests are signed ahead
	runs   uint32 // numbers the pools, so that no id comes twice
}

func newBench(dir string, each time.Duration) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	var secret [24]byte
	_, _ = rand.Read(secret[:]) // never fails
	return &bench{self: self, dir: dir, secret: hex.EncodeToString(secret[:]), each: each, warm: warmUp, settle: settle, pool: poolSize}, nil
}

// yardstick measures go-verify.
func (b *bench) yardstick(ctx context.Context) (figures, error) {
	addrs, err := freeAddrs(ctx, 1)
	if err != nil {
		return figures{}, err
	}
	begin := time.Now()
	p, err := start(ctx, b.dir, "go-verify", b.secret, b.self, "yardstick", "--addr", addrs[0])
	if err != nil {
		return figures{}, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx, "http://"+addrs[0]+"/"); err != nil {
		return figures{}, err
	}
	f := figures{ready: time.Since(begin)}
	return f, b.drive(ctx, &f, p, addrs[0])
}

// accept measures a receiver whose deliveries wait.
func (b *bench) accept(ctx context.Context, p programs) (figures, error) {
	r, err := b.startReceiver(ctx, p, false)
	if err != nil {
		return figures{}, err
	}
	defer r.stop()
	f := figures{ready: r.ready}
	return f, b.drive(ctx, &f, r.process, r.addr)
}

// drive measures a system that is ready: at rest, with one connection, at a
// fixed rate, and as fast as it goes.
func (b *bench) drive(ctx context.Context, f *figures, p *process, addr string) error {
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	use, err := proc.Read(p.pid)
	if err != nil {
		return fmt.Errorf("measuring %q at rest: %w", p.name, err)
	}
	f.idle = use.Memory
	l := b.load(addr)
	l.Conns, l.Warm, l.For = 1, b.warm/4, b.each/2
	single, err := b.run(ctx, p, l)
	if err != nil {
		return err
	}
	f.singleP50 = single.Latency.Quantile(0.5)
	l.Conns, l.Rate, l.For = closedConns, openRate, b.each
	open, err := b.run(ctx, p, l)
	if err != nil {
		return err
	}
	f.openP50, f.openP99 = open.Latency.Quantile(0.5), open.Latency.Quantile(0.99)
	l.Rate = 0
	_, err = b.closed(ctx, f, p, l)
	return err
}

// load is the beginning of every load on a system.
func (b *bench) load(addr string) load.Load {
	b.runs++
	return load.Load{Addr: addr, Pool: load.NewPool(b.pool, addr, "/", b.secret, b.runs), Next: new(atomic.Uint64)}
}

// run drives a system, every one of whose answers must be a 2xx.
func (b *bench) run(ctx context.Context, p *process, l load.Load) (*load.Result, error) {
	res, err := l.Run(ctx)
	if err == nil {
		err = res.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("driving %q: %w; it said:\n%s", p.name, err, p.tail())
	}
	return res, nil
}

// closed drives a system as fast as it answers and measures what that takes.
func (b *bench) closed(ctx context.Context, f *figures, p *process, l load.Load) (*load.Result, error) {
	var before, after proc.Usage
	var errBefore, errAfter error
	outerBegin, outerEnd := l.Begin, l.End
	l.Conns, l.Warm, l.For = closedConns, b.warm, b.each
	l.Begin = func() {
		before, errBefore = proc.Read(p.pid)
		call(outerBegin)
	}
	l.End = func() {
		call(outerEnd)
		after, errAfter = proc.Read(p.pid)
	}
	most := watchMemory(p.pid)
	res, err := b.run(ctx, p, l)
	f.loaded = most()
	if err != nil {
		return nil, err
	}
	for _, err := range []error{errBefore, errAfter} {
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", p.name, err)
		}
	}
	f.perSecond = res.PerSecond()
	f.cpu = time.Duration(float64(after.CPU-before.CPU) * 1000 / float64(res.OK))
	f.written = float64(after.Written-before.Written) / float64(res.OK)
	return res, nil
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// watchMemory looks at a process's memory until the function it returns is
// called; that one returns the most that was seen.
func watchMemory(pid int) func() int64 {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		t := time.NewTicker(250 * time.Millisecond)
		defer t.Stop()
		seen := int64(0)
		for {
			if u, err := proc.Read(pid); err == nil {
				seen = max(seen, u.Memory)
			}
			select {
			case <-t.C:
			case <-stop:
				most <- seen
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-most
	}
}

// A receiver is a running one, with the sink that it delivers to.
type receiver struct {
	*process
	addr, sinkAddr string
	ready          time.Duration
	sink           *process
	data           string
}

// stop ends the receiver and its sink, and removes its data.
func (r *receiver) stop() {
	r.process.stop()
	r.sink.stop()
	_ = os.RemoveAll(r.data) // the bench's folder goes at the end in any case
}

// startReceiver starts a sink and a receiver, as a user does, and waits until
// both are ready.
func (b *bench) startReceiver(ctx context.Context, p programs, deliver bool) (*receiver, error) {
	addrs, err := freeAddrs(ctx, 3)
	if err != nil {
		return nil, err
	}
	r := &receiver{addr: addrs[0], sinkAddr: addrs[2]}
	if r.data, err = os.MkdirTemp(b.dir, "data-"); err != nil {
		return nil, fmt.Errorf("making data folder: %w", err)
	}
	manifest := filepath.Join(r.data, "manifest.yaml")
	if err := os.WriteFile(manifest, []byte(manifestOf(b.secret, r.sinkAddr, deliver)), 0o600); err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	if r.sink, err = start(ctx, b.dir, "sink", b.secret, b.self, "sink", "--addr", r.sinkAddr); err != nil {
		return nil, err
	}
	if err := r.sink.awaitReady(ctx, "http://"+r.sinkAddr+"/count"); err != nil {
		r.sink.stop()
		return nil, err
	}
	argv, err := p.receiverArgs(ctx, r.data, manifest, b.secret)
	if err != nil {
		r.sink.stop()
		return nil, err
	}
	begin := time.Now()
	r.process, err = start(ctx, b.dir, "receiver", b.secret,
		append(argv, "--listen", r.addr, "--telemetry-listen", addrs[1])...)
	if err != nil {
		r.sink.stop()
		return nil, err
	}
	if err := r.awaitReady(ctx, "http://"+addrs[1]+"/readyz"); err != nil {
		r.stop()
		return nil, err
	}
	r.ready = time.Since(begin)
	return r, nil
}

// deliver measures a receiver that accepts as fast as it can and delivers to one
// HTTP sink meanwhile, and then lets it finish.
func (b *bench) deliver(ctx context.Context, p programs) (figures, error) {
	r, err := b.startReceiver(ctx, p, true)
	if err != nil {
		return figures{}, err
	}
	defer r.stop()
	f := figures{ready: r.ready}
	var before, after tally
	var errBefore, errAfter error
	l := b.load(r.addr)
	l.Begin = func() { before, errBefore = fetchTally(ctx, r.sinkAddr) }
	l.End = func() { after, errAfter = fetchTally(ctx, r.sinkAddr) }
	res, err := b.closed(ctx, &f, r.process, l)
	for _, err := range []error{err, errBefore, errAfter} {
		if err != nil {
			return f, err
		}
	}
	f.delivered = float64(after.Distinct-before.Distinct) / res.Elapsed.Seconds()
	f.backlog = max(int(res.Sent)-after.Distinct, 0)
	return f, r.drain(ctx, &f, int(res.Sent))
}

// drain waits until the sink has what was accepted, or no longer.
func (r *receiver) drain(ctx context.Context, f *figures, accepted int) error {
	begin := time.Now()
	for {
		t, err := fetchTally(ctx, r.sinkAddr)
		if err != nil {
			return err
		}
		f.missing, f.again = max(accepted-t.Distinct, 0), t.Requests-t.Distinct
		f.drained = time.Since(begin)
		if f.missing == 0 || f.drained > drainLimit {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
