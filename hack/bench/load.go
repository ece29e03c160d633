package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/hack/bench/load"
	"github.com/fairlead-dev/fairlead/hack/bench/proc"
)

// loadVerb drives one system by hand.
func loadVerb(ctx context.Context, args []string) error {
	fs := flags("load")
	l := load.Load{Next: new(atomic.Uint64)}
	fs.StringVar(&l.Addr, "addr", "127.0.0.1:9001", "host:port of the system, a loopback address")
	path := fs.String("path", "/", "path of the endpoint")
	fs.IntVar(&l.Conns, "conns", closedConns, "connections")
	fs.DurationVar(&l.Warm, "warm", warmUp, "how long requests are not counted yet")
	fs.DurationVar(&l.For, "duration", 5*time.Second, "how long they are")
	fs.Float64Var(&l.Rate, "rate", 0, "requests per second; 0 sends as soon as each is answered")
	pid := fs.Int("pid", 0, "process of the system, to measure what it takes")
	if err := fs.Parse(args); err != nil {
		return err
	}
	secret := os.Getenv(secretVar)
	if secret == "" {
		return fmt.Errorf("%s is not set: it holds the signing secret", secretVar)
	}
	run := uint32(time.Now().Unix()) // so that ids are new each time
	l.Pool = load.NewPool(poolSize, l.Addr, *path, secret, run)
	var before, after proc.Usage
	l.Begin = func() { before = use(*pid) }
	l.End = func() { after = use(*pid) }
	res, err := l.Run(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%.0f/s  p50 %.3f  p99 %.3f  p99.9 %.3f ms", res.PerSecond(),
		ms(res.Latency.Quantile(0.5)), ms(res.Latency.Quantile(0.99)), ms(res.Latency.Quantile(0.999)))
	if *pid > 0 && res.OK > 0 {
		fmt.Fprintf(os.Stdout, "  cpu %.1f ms/1000  memory %.1f MiB  written %.2f KiB each", ms(after.CPU-before.CPU)*1000/float64(res.OK),
			float64(after.Memory)/mib, float64(after.Written-before.Written)/1024/float64(res.OK))
	}
	fmt.Fprintln(os.Stdout)
	return res.Check()
}

// use reads a process's usage; nothing if it is gone or none was named.
func use(pid int) proc.Usage {
	if pid == 0 {
		return proc.Usage{}
	}
	u, err := proc.Read(pid)
	if err != nil {
		return proc.Usage{}
	}
	return u
}
