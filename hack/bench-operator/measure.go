package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// phase is what something cost.
type phase struct {
	took                  time.Duration
	counts                counts
	operator, server, etc time.Duration // CPU
}

// figures is all that was measured.
type figures struct {
	endpoints            int
	create, first, ready phase
	idle, restart        phase
	change               phase
	peak, peakAgain, now int64 // memory, bytes
}

// bench is what is at work.
type bench struct {
	options
	cluster  *cluster
	watcher  *watcher
	operator *operator
	pids     struct{ server, etcd int }
}

// idleFor is how long it is watched whether anything is written for no reason.
const idleFor = 15 * time.Second

// measure does all, and leaves nothing behind.
func measure(ctx context.Context, o options) (f figures, err error) {
	f.endpoints = o.endpoints
	say("starting etcd and the API server")
	c, err := startCluster(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &bench{options: o, cluster: c}
	if b.pids.server, err = child("kube-apiserver"); err != nil {
		return f, err
	}
	if b.pids.etcd, err = child("etcd"); err != nil {
		return f, err
	}
	if b.watcher, err = watch(ctx, c); err != nil {
		return f, err
	}
	defer func() {
		if b.operator != nil {
			err = errors.Join(err, b.operator.stop())
		}
	}()
	return f, b.all(ctx, &f)
}

func (b *bench) all(ctx context.Context, f *figures) error {
	steps := []struct {
		say string
		to  *phase
		do  func(context.Context) (time.Duration, error)
	}{
		{fmt.Sprintf("creating %d endpoints in %d namespaces", b.endpoints, b.namespaces), &f.create, b.create},
		{"starting the operator: all must be applied", &f.first, b.begin},
		{"the Deployments become available: all must be Ready", &f.ready, b.rollOut},
		{fmt.Sprintf("nothing happens for %v", idleFor), &f.idle, b.rest},
		{"starting the operator anew: all must be looked at", &f.restart, func(ctx context.Context) (time.Duration, error) { return b.again(ctx, f) }},
		{"a range of the provider changes: all must have it", &f.change, b.change},
	}
	for _, s := range steps {
		say("%s", s.say)
		if err := b.phase(ctx, s.to, s.do); err != nil {
			return err
		}
	}
	if b.profile != "" {
		if err := b.operator.profile(ctx, "heap?gc=1", b.options.profile+".heap.pprof"); err != nil {
			return err
		}
	}
	var err, errNow error
	f.peakAgain, err = memory(b.operator.cmd.Process.Pid, "VmHWM")
	f.now, errNow = memory(b.operator.cmd.Process.Pid, "VmRSS")
	return errors.Join(err, errNow)
}

// phase measures what one step costs.
func (b *bench) phase(ctx context.Context, to *phase, do func(context.Context) (time.Duration, error)) error {
	before, err := b.spent()
	if err != nil {
		return err
	}
	was := b.operator
	if to.took, err = do(ctx); err != nil {
		return err
	}
	after, err := b.spent()
	if err != nil {
		return err
	}
	if was != b.operator {
		before[0] = 0 // of another process
	}
	to.operator, to.server, to.etc = after[0]-before[0], after[1]-before[1], after[2]-before[2]
	to.counts, err = b.cluster.audit.since()
	return err
}

// spent returns the CPU time of the operator, the API server and etcd up to now.
func (b *bench) spent() ([3]time.Duration, error) {
	pids := [3]int{0, b.pids.server, b.pids.etcd}
	if b.operator != nil {
		pids[0] = b.operator.cmd.Process.Pid
	}
	var out [3]time.Duration
	for i, pid := range pids {
		if pid == 0 {
			continue
		}
		var err error
		if out[i], err = cpu(pid); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (b *bench) create(ctx context.Context) (time.Duration, error) {
	since := time.Now()
	if err := b.cluster.createProvider(ctx); err != nil {
		return 0, fmt.Errorf("creating the WebhookProvider: %w", err)
	}
	if err := b.cluster.createEndpoints(ctx, b.options); err != nil {
		return 0, fmt.Errorf("creating endpoints: %w", err)
	}
	return time.Since(since), nil
}

func (b *bench) start(ctx context.Context) (err error) {
	b.operator, err = startOperator(ctx, b.options.operator, b.cluster)
	return err
}

// begin starts the operator on what is there.
func (b *bench) begin(ctx context.Context) (time.Duration, error) {
	since := time.Now()
	if err := b.start(ctx); err != nil {
		return 0, err
	}
	var profiled chan error
	if b.profile != "" {
		profiled = make(chan error, 1)
		go func() { profiled <- b.profiles(ctx) }()
	}
	ctx, cancel := b.operator.lifetime(ctx)
	defer cancel()
	took, err := b.watcher.await(ctx, applied, b.endpoints, since)
	if err != nil {
		return 0, err
	}
	if profiled != nil {
		err = <-profiled
	}
	return took, errors.Join(err, b.settle(ctx, b.endpoints))
}

// profiles writes the operator's profiles of its first 20 seconds.
func (b *bench) profiles(ctx context.Context) error {
	if err := poll(ctx, func() (bool, error) {
		_, err := b.operator.get(ctx, "http://"+b.operator.pprof+"/debug/pprof/cmdline")
		return err == nil, nil
	}); err != nil {
		return err
	}
	return errors.Join(
		b.operator.profile(ctx, "profile?seconds=20", b.options.profile+".cpu.pprof"),
		b.operator.profile(ctx, "allocs", b.options.profile+".allocs.pprof"))
}

// settle waits until at least n reconciles are done and none is left.
func (b *bench) settle(ctx context.Context, n int) error {
	return poll(ctx, func() (bool, error) {
		done, left, err := b.operator.work(ctx)
		return err == nil && done >= n && left == 0, nil // it may be too early to ask
	})
}

func (b *bench) rollOut(ctx context.Context) (time.Duration, error) {
	ctx, cancel := b.operator.lifetime(ctx)
	defer cancel()
	since := time.Now()
	if err := b.cluster.rollOut(ctx); err != nil {
		return 0, fmt.Errorf("rolling out: %w", err)
	}
	took, err := b.watcher.await(ctx, ready, b.endpoints, since)
	return took, errors.Join(err, b.settle(ctx, b.endpoints))
}

func (b *bench) rest(ctx context.Context) (time.Duration, error) {
	select {
	case <-time.After(idleFor):
		return idleFor, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// again starts the operator anew, and returns how long it takes to know that all
// is as it should be.
func (b *bench) again(ctx context.Context, f *figures) (time.Duration, error) {
	var err error
	if f.peak, err = memory(b.operator.cmd.Process.Pid, "VmHWM"); err != nil {
		return 0, err
	}
	if err := b.operator.stop(); err != nil {
		return 0, err
	}
	since := time.Now()
	if err := b.start(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := b.operator.lifetime(ctx)
	defer cancel()
	if err := b.settle(ctx, b.endpoints); err != nil {
		return 0, err
	}
	took := time.Since(since)
	say("%5.1f s: all were looked at", took.Seconds())
	return took, nil
}

func (b *bench) change(ctx context.Context) (time.Duration, error) {
	ctx, cancel := b.operator.lifetime(ctx)
	defer cancel()
	since := time.Now()
	if err := b.cluster.changeProvider(ctx); err != nil {
		return 0, fmt.Errorf("changing the WebhookProvider: %w", err)
	}
	configs, err := b.watcher.await(ctx, newConfig, b.endpoints, since)
	if err != nil {
		return 0, err
	}
	policies, err := b.watcher.await(ctx, newPolicy, b.endpoints, since)
	if err != nil {
		return 0, err
	}
	return max(configs, policies), b.settle(ctx, 2*b.endpoints)
}

// poll asks until something is so.
func poll(ctx context.Context, is func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
