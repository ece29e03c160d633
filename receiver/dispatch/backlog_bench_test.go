package dispatch_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/fairlead-dev/fairlead/receiver/dispatch"

	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
)

const (
	million   = 1_000_000
	benchBody = 1280
	openRate  = 1000 // events per second, where they come by the clock
)

// BenchmarkBacklog measures what a million queued deliveries cost, from the
// outage to the recovery. Its parts follow upon each other and each runs once, so
// run all of them, with -benchtime 1x. What is to be compared is measured in
// turns.
func BenchmarkBacklog(b *testing.B) {
	if b.N > 1 {
		b.Skip("needs -benchtime 1x")
	}
	dir := filepath.Join(b.TempDir(), "queue")
	b.Run("outage", func(b *testing.B) { benchOutage(b, dir) })
	b.Run("open", func(b *testing.B) { benchOpen(b, dir) })
	b.Run("recovery", func(b *testing.B) { benchRecovery(b, dir) })
	b.Run("acked", func(b *testing.B) { benchAcked(b, dir) })
}

// down gives a queue a sink that is down, and waits for its breaker.
func (b *backlog) down(t testing.TB, body []byte) {
	d := hours()
	d.MinBackoff.Duration, d.MaxBackoff.Duration = 30*time.Second, 30*time.Second
	b.runner.Update(&fake{t: t, deliver: answering(errRefused)}, d)
	b.fill(t, b.appended.Load()+100, body)
	eventually(t, "an open breaker", b.runner.Stalled)
}

// benchOutage fills a queue while its sink is down.
func benchOutage(b *testing.B, dir string) {
	body := make([]byte, benchBody)
	full, end := openBacklog(b, embedded.Options{Dir: dir})
	full.down(b, body)
	full.fill(b, million/10, body)
	heapBefore, rssBefore := heap(), resident(b)
	start := time.Now()
	most := rssBefore
	for n := int64(2); n <= 10; n++ {
		full.fill(b, n*million/10, body)
		most = max(most, resident(b))
	}
	b.ReportMetric(float64(million*9/10)/time.Since(start).Seconds(), "filled/s")
	b.ReportMetric(mebi(most), "rss-MiB-most")
	b.ReportMetric(mebi(heapBefore), "heap-MiB-at-100k")
	b.ReportMetric(mebi(rssBefore), "rss-MiB-at-100k")
	b.ReportMetric(mebi(heap()), "heap-MiB-at-1M")
	b.ReportMetric(mebi(resident(b)), "rss-MiB-at-1M")
	b.ReportMetric(float64(full.app().Retrying), "retrying")
	compareAppends(b, full, body)
	if got := full.app(); got.Dead+got.Dropped+got.Delivered > 0 {
		b.Errorf("after the outage: %+v", got)
	}
	end()
}

// compareAppends measures appending to a long queue and to empty ones, in turns.
func compareAppends(b *testing.B, full *backlog, body []byte) {
	const rounds, each = 5, 20_000
	var rates, p50s, p99s, open50s, open99s []float64
	for range rounds {
		empty, end := openBacklog(b, embedded.Options{Dir: filepath.Join(b.TempDir(), "empty")})
		empty.down(b, body)
		e, f := closedLoop(b, empty, each, body), closedLoop(b, full, each, body)
		eOpen, fOpen := openLoop(b, empty, 3*openRate, body), openLoop(b, full, 3*openRate, body)
		end()
		b.Logf("closed loop, empty: %v; a million: %v", e, f)
		b.Logf("open loop, empty: %v; a million: %v", eOpen, fOpen)
		rates, p50s, p99s = append(rates, f.rate/e.rate), append(p50s, ratio(f.p50, e.p50)), append(p99s, ratio(f.p99, e.p99))
		open50s, open99s = append(open50s, ratio(fOpen.p50, eOpen.p50)), append(open99s, ratio(fOpen.p99, eOpen.p99))
	}
	b.ReportMetric(median(rates), "rate-x-empty")
	b.ReportMetric(median(p50s), "p50-x-empty")
	b.ReportMetric(median(p99s), "p99-x-empty")
	b.ReportMetric(median(open50s), "open-p50-x-empty")
	b.ReportMetric(median(open99s), "open-p99-x-empty")
}

// benchOpen opens the queue as it was closed, and as a killed process left it,
// until the first delivery is leased.
func benchOpen(b *testing.B, dir string) {
	b.ReportMetric(ready(b, dir), "ready-ms")
	q, end := openBacklog(b, embedded.Options{Dir: dir})
	q.appended.Store(2 * million)
	q.fill(b, 2*million+5000, make([]byte, benchBody)) // something is in the log only
	killed := filepath.Join(b.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	end()
	b.ReportMetric(ready(b, killed), "ready-killed-ms")
}

// ready returns how many milliseconds it takes from opening to a lease.
func ready(b *testing.B, dir string) float64 {
	start := time.Now()
	q, err := embedded.Open(embedded.Options{Dir: dir, Limits: roomy})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	opened := time.Since(start)
	c := consumerOf(b, q)
	if _, err := c.Lease(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	b.Logf("opened in %v, leased in %v", opened, took-opened)
	if got := q.Stats().Sinks["app"].Queued; got < million {
		b.Errorf("%d are queued", got)
	}
	return float64(took.Microseconds()) / 1000
}

func consumerOf(b *testing.B, q queue.Queue) queue.Consumer {
	if err := q.SetSinks([]string{"app"}); err != nil {
		b.Fatal(err)
	}
	c, err := q.Consumer("app")
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// benchRecovery drains the queue from the probe on that succeeds: a while alone,
// and a while together with new events, in turns. The sink is one that takes a
// moment, as all do that are somewhere else.
func benchRecovery(b *testing.B, dir string) {
	body := make([]byte, benchBody)
	q, _ := openBacklog(b, embedded.Options{Dir: dir})
	q.appended.Store(3 * million)
	var up atomic.Bool
	d := hours()
	d.MinBackoff.Duration = time.Second
	q.runner.Update(&fake{t: b, deliver: func(context.Context, *event.Event) error {
		if !up.Load() {
			return errRefused
		}
		<-time.After(sinkTakes)
		return nil
	}}, d)
	eventually(b, "an open breaker", q.runner.Stalled)
	before := openLoop(b, q, 5*openRate, body)
	up.Store(true)
	waited := time.Now()
	eventually(b, "a closed breaker", func() bool { return q.runner.State().Breaker == dispatch.Closed })
	b.ReportMetric(time.Since(waited).Seconds(), "closed-after-s")
	var alone, together, p50s, p99s []float64
	for range 3 {
		alone = append(alone, q.drained(func() { <-time.After(5 * time.Second) }))
		var during loop
		together = append(together, q.drained(func() { during = openLoop(b, q, 5*openRate, body) }))
		b.Logf("delivered alone %.0f/s, together %.0f/s; appends in the outage: %v, now: %v", alone[len(alone)-1], together[len(together)-1], before, during)
		p50s, p99s = append(p50s, ratio(during.p50, before.p50)), append(p99s, ratio(during.p99, before.p99))
	}
	b.ReportMetric(median(alone), "drained/s")
	b.ReportMetric(median(together)/median(alone), "together-x-alone")
	b.ReportMetric(median(p50s), "append-p50-x-outage")
	b.ReportMetric(median(p99s), "append-p99-x-outage")
	q.runner.Update(&fake{t: b, deliver: accepting}, d)
	q.drainFast(b)
	if got := q.app(); got.Dead+got.Dropped > 0 {
		b.Errorf("after the recovery: %+v", got)
	}
}

// sinkTakes is what the timer makes of it: about a millisecond.
const sinkTakes = 500 * time.Microsecond

// drainFast delivers the rest to a sink that costs nothing, and says how fast the
// queue alone can be.
func (b *backlog) drainFast(t *testing.B) {
	t.ReportMetric(b.drained(func() { waitFor(t, "the rest of the backlog", func() bool { return b.app().Queued == 0 }) }), "drained-to-nowhere/s")
}

// drained returns how many were delivered each second while f ran.
func (b *backlog) drained(f func()) float64 {
	start, before := time.Now(), b.app().Delivered
	f()
	return float64(b.app().Delivered-before) / time.Since(start).Seconds()
}

// waitFor waits for what may take minutes.
func waitFor(b *testing.B, what string, ok func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Minute); !ok(); <-tick.C {
		if b.Failed() || time.Now().After(end) {
			b.Fatalf("waited for: %s", what)
		}
	}
}

// benchAcked takes new events one by one from a queue of which a million were
// acked, before and after it is opened anew, and from an empty one, in turns.
func benchAcked(b *testing.B, dir string) {
	start := time.Now()
	full, err := embedded.Open(embedded.Options{Dir: dir, Limits: roomy})
	if err != nil {
		b.Fatal(err)
	}
	defer full.Close()
	cf := consumerOf(b, full)
	first := oneByOne(b, full, cf, 1)
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ready-ms")
	b.ReportMetric(first.p50.Seconds()*1e6, "first-lease-us")
	empty, err := embedded.Open(embedded.Options{Dir: b.TempDir(), Limits: roomy})
	if err != nil {
		b.Fatal(err)
	}
	defer empty.Close()
	ce := consumerOf(b, empty)
	var p50s, p99s []float64
	for range 5 {
		e, f := oneByOne(b, empty, ce, 1000), oneByOne(b, full, cf, 1000)
		b.Logf("empty: %v; a million acked: %v", e, f)
		p50s, p99s = append(p50s, ratio(f.p50, e.p50)), append(p99s, ratio(f.p99, e.p99))
	}
	b.ReportMetric(median(p50s), "lease-p50-x-empty")
	b.ReportMetric(median(p99s), "lease-p99-x-empty")
}

// oneByOne appends an event, and measures how long it takes to lease it.
func oneByOne(b *testing.B, q queue.Queue, c queue.Consumer, n int) loop {
	var took []time.Duration
	start := time.Now()
	for i := range n {
		e := event.Event{ID: strconv.FormatInt(start.UnixNano()+int64(i), 10), Hook: "push", ReceivedAt: time.Now(), Body: make([]byte, benchBody)}
		if _, err := q.Append(b.Context(), &e, queue.Dedup{}, []string{"app"}); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		d, err := c.Lease(b.Context())
		took = append(took, time.Since(begin))
		if err != nil || d.Event.ID != e.ID {
			b.Fatalf("leased %+v, %v", d, err)
		}
		c.Ack(d)
	}
	return newLoop(took, time.Since(start))
}
