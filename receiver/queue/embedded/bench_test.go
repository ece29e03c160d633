package embedded_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

const (
	benchProducers = 64
	benchBody      = 1280
)

var benchDedup = queue.Dedup{Key: queue.ByID, Window: 10 * time.Minute}

// BenchmarkAppend has 64 producers wait for durability, as intake does.
func BenchmarkAppend(b *testing.B) {
	for _, d := range []struct {
		name string
		queue.Dedup
	}{{"by-id", benchDedup}, {"no-dedup", queue.Dedup{}}} {
		b.Run(d.name, func(b *testing.B) {
			dir, q := benchQueue(b)
			b.ReportAllocs()
			before := used(b)
			b.ResetTimer()
			produce(b, q, b.N, d.Dedup)
			b.StopTimer()
			report(b, before)
			if err := q.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(dirSize(b, dir))/float64(b.N), "disk-B/op")
		})
	}
}

// BenchmarkAppendDeliver has 16 workers lease and ack at the same time; it ends
// when all is delivered.
func BenchmarkAppendDeliver(b *testing.B) {
	_, q := benchQueue(b)
	b.ReportAllocs()
	before := used(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var acked atomic.Int64
	c, err := q.Consumer("app")
	if err != nil {
		b.Fatal(err)
	}
	for range 16 {
		wg.Go(func() {
			for {
				d, err := c.Lease(ctx)
				if err != nil {
					return
				}
				c.Ack(d)
				if acked.Add(1) == int64(b.N) {
					cancel()
				}
			}
		})
	}
	produce(b, q, b.N, benchDedup)
	wg.Wait()
	b.StopTimer()
	report(b, before)
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
}

func benchQueue(b *testing.B) (string, *embedded.Queue) {
	b.Helper()
	dir := b.TempDir()
	q, err := embedded.Open(embedded.Options{Dir: dir, Limits: queue.Limits{Capacity: 8 << 30, Retention: time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	if err := q.SetSinks([]string{"app"}); err != nil {
		b.Fatal(err)
	}
	return dir, q
}

func produce(b *testing.B, q queue.Queue, n int, d queue.Dedup) {
	b.Helper()
	body := []byte(strings.Repeat("0123456789abcdef", benchBody/16))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range benchProducers {
		wg.Go(func() {
			e := event.Event{Hook: "push", Type: "message.new", Subject: "messaging:fun", ContentType: "application/json",
				Headers: []event.Header{{Name: "X-Webhook-Id", Value: "x"}}, ReceivedAt: time.Now(), Body: body}
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				e.ID = "123e4567-e89b-12d3-a456-" + strconv.FormatInt(100000000000+i, 10)
				out, err := q.Append(b.Context(), &e, d, []string{"app"})
				if err != nil || out != queue.Stored {
					panic(fmt.Sprint(out, err))
				}
			}
		})
	}
	wg.Wait()
}

// usage is what this process has used so far.
type usage struct {
	written int64
	cpu     time.Duration
}

func used(b *testing.B) usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return usage{written: written(), cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano())}
}

func report(b *testing.B, before usage) {
	after := used(b)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64(after.written-before.written)/float64(b.N), "written-B/op")
	b.ReportMetric(float64((after.cpu-before.cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

// written is how many bytes this process has written to files.
func written() int64 {
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

func dirSize(b *testing.B, dir string) (size int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}

// BenchmarkOpen opens a queue that holds a million events, as a killed process
// left it.
func BenchmarkOpen(b *testing.B) {
	const n = 1_000_000
	dir, q := benchQueue(b)
	produce(b, q, n, benchDedup)
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		q, err := embedded.Open(embedded.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if got := q.Stats().Sinks["app"].Queued; got != n {
			b.Fatalf("%d queued", got)
		}
		b.StopTimer()
		if err := q.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(dirSize(b, dir))/n, "disk-B/event")
}
