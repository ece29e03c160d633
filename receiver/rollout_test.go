package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// restarts is how often a receiver is replaced.
const restarts = 10

// rollout is one endpoint: two receivers behind a balancer, a provider that sends
// an event every 20 ms, and a sink that is down now and then.
type rollout struct {
	*fleet
	balancer *servertest.Balancer
	prober   *servertest.Prober
	sink     *servertest.Sinkhole
	down     atomic.Bool
	running  []*pod
	leave    map[*pod]func()
}

// lag is how late the balancer learns that a receiver is about to go, and delay how
// long that one takes requests still. What lies between them is for a machine that
// stands still now and then, as the drain delay of a pod is: a connection to a
// receiver that is gone, or on which nothing was said meanwhile, is a lost request.
const (
	lag   = 150 * time.Millisecond
	delay = time.Second
)

// newRollout makes an endpoint whose receivers are there already. If it is secure, the
// provider speaks HTTP/2 over TLS, and else HTTP/1.1 without.
func newRollout(t *testing.T, number int, provider string, secure bool) *rollout {
	r := &rollout{balancer: servertest.NewBalancer(t), leave: map[*pod]func(){}}
	answer := func(w http.ResponseWriter, _ *http.Request) bool {
		if r.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return !r.down.Load()
	}
	call, scheme, client := servertest.Stream(t), "http://", servertest.NewClient(t)
	r.sink = servertest.NewSinkhole(t, answer)
	if provider == "social-plus" {
		r.sink, call = servertest.NewSocialSinkhole(t, answer), servertest.Social(t)
	}
	r.fleet = newFleet(t, number, servertest.ConfigOf(t, provider, r.sink.URL, func(c *v1alpha1.Config) {
		c.Drain.Delay.Duration, c.Drain.Grace.Duration = delay, 500*time.Millisecond
	}))
	if secure {
		dir, pair := servertest.NewMount(t), servertest.NewCertificate(t, time.Now().Add(time.Hour))
		dir.Set(pair.Files())
		r.flags, scheme, client = []string{"--tls-dir", dir.Dir}, "https://", servertest.NewTLSClient(t, true, pair)
	}
	r.add()
	r.add()
	if !secure {
		call = spread(call)
	}
	r.prober = servertest.NewProber(t, client, scheme+r.balancer.Addr+"/hooks", provider+"-", 20*time.Millisecond, call)
	return r
}

// spread has every other request end its connection, so that the balancer chooses
// anew: a client of HTTP/1.1 may else keep to one receiver that is not replaced.
func spread(call servertest.Caller) servertest.Caller {
	var n atomic.Int64
	return func(url, id string) *http.Request {
		req := call(url, id)
		req.Close = n.Add(1)%2 == 0
		return req
	}
}

// add starts a receiver and returns when it gets requests.
func (r *rollout) add() {
	p := r.start()
	r.leave[p] = r.balancer.Add(p.addr, p.telemetry, lag)
	servertest.Until(r.t, "readiness", func() bool { return r.balancer.Has(p.addr) })
	r.running = append(r.running, p)
}

// replace starts a new receiver and ends the oldest, which the sink's being down
// may keep from delivering what it has.
func (r *rollout) replace(down bool) {
	r.add()
	r.down.Store(down)
	enough := r.prober.Answered() + 20
	servertest.Until(r.t, "requests", func() bool { return r.prober.Answered() >= enough })
	old := r.running[0]
	r.running = r.running[1:]
	old.terminate()
	r.leave[old]()
	r.remove(old)
	r.down.Store(false)
}

// end checks that everything that was answered is delivered, and the books.
func (r *rollout) end() {
	answered, others := r.prober.Stop()
	if len(others) > 0 {
		r.t.Errorf("%d of %d requests were not answered 200: %v", len(others), len(others)+len(answered), others)
	}
	servertest.Until(r.t, "every answered event at the sink", func() bool { return r.sink.Count() >= len(answered) })
	servertest.EqualSets(r.t, "delivered", answered, r.sink.IDs())
	all := r.close(r.running...)
	r.balanced(all, int64(len(answered)))
	again := 0
	for _, n := range r.sink.Times() {
		again += n - 1
	}
	if all.HandedOver == 0 {
		r.t.Error("nothing was handed over: the test tests nothing")
	}
	if again > len(answered)/100 { // an answer of the sink that was on its way when its receiver went
		r.t.Errorf("%d deliveries were made more than once", again)
	}
	r.t.Logf("%d restarts: %d events answered 200, all delivered; none unanswered; %d handed over; %d delivered more than once",
		restarts, len(answered), all.HandedOver, again)
}

// TestRollingRestarts replaces the receivers of two endpoints one by one, while
// Stream and social.plus, the latter over TLS, send one event every 10 ms between
// them. Every request is answered, and every event that was answered 200 is delivered: by the receiver
// that took it, or by a sister that it was handed over to.
func TestRollingRestarts(t *testing.T) {
	endpoints := []*rollout{newRollout(t, 1, "stream-chat", false), newRollout(t, 2, "social-plus", true)}
	for i := range restarts {
		var all sync.WaitGroup
		for _, r := range endpoints {
			all.Go(func() { r.replace(i%3 == 1) })
		}
		all.Wait()
	}
	for _, r := range endpoints {
		r.end()
	}
}

// attempts remembers what number each attempt at an event had.
type attempts struct {
	mu sync.Mutex
	of map[string][]int
}

func (a *attempts) note(r *http.Request) {
	n := 1
	if text := r.Header.Get("Ce-Fairleadattempt"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			n = -1
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := r.Header.Get("Ce-Id")
	a.of[id] = append(a.of[id], n)
}

// check returns how many events had more than one attempt, and those whose
// attempts were not counted on.
func (a *attempts) check() (several int, wrong []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, list := range a.of {
		last := 0
		for _, n := range list {
			if n != last+1 && n != last { // one that was called off counts for nothing
				wrong = append(wrong, fmt.Sprint(id, list))
				break
			}
			last = n
		}
		if len(list) > 1 {
			several++
		}
	}
	return several, wrong
}

// TestScaleIn takes one of two receivers away while a sink is down and 10,000
// deliveries wait for it. All are with the sister afterwards, with their attempts,
// and so are the dead letters of another sink; when the sink is back, each is
// delivered once.
func TestScaleIn(t *testing.T) {
	const many = 10000
	var up atomic.Bool
	tries := &attempts{of: map[string][]int{}}
	sink := servertest.NewSinkhole(t, func(w http.ResponseWriter, r *http.Request) bool {
		tries.note(r)
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return up.Load()
	})
	var refused atomic.Int64
	picky := servertest.NewSinkhole(t, func(w http.ResponseWriter, _ *http.Request) bool {
		if refused.Add(1) <= 100 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return false
		}
		return true
	})
	f := newFleet(t, 3, servertest.Config(t, sink.URL, func(c *v1alpha1.Config) {
		c.Sinks = append(c.Sinks, servertest.HTTPSink("picky", picky.URL))
	}))
	going, staying := f.start(), f.start()
	crowd := servertest.NewCrowd(t, 16, going.url, "e-", func() string { return servertest.OldSecret })
	servertest.Until(t, "events", func() bool { return crowd.Count() >= many })
	accepted := crowd.Stop()
	n := int64(len(accepted))
	servertest.Until(t, "the picky sink", func() bool { return going.metric("queue_deliveries", `"picky"`) == 0 })
	before := time.Now()
	going.terminate()
	f.remove(going)
	took := time.Since(before)
	if got := going.parting(); got.HandedOver != n+100 || got.Left != 0 || got.DeadLettersLeft != 0 {
		t.Errorf("the receiver said at its end: %+v, want %d handed over and nothing left", got, n+100)
	}
	if q, d := staying.metric("queue_deliveries", `"app"`), staying.metric("dead_letters", `"picky"`); q != n || d != 100 {
		t.Errorf("the sister has %d deliveries and %d dead letters, want %d and 100", q, d, n)
	}
	up.Store(true)
	servertest.Until(t, "every event at the sink", func() bool { return sink.Count() >= len(accepted) })
	servertest.EqualSets(t, "delivered", accepted, sink.IDs())
	for id, times := range sink.Times() {
		if times != 1 {
			t.Errorf("event %s was delivered %d times", id, times)
		}
	}
	several, wrong := tries.check()
	if len(wrong) > 0 || several == 0 {
		t.Errorf("%d events had several attempts; not counted on: %v", several, wrong)
	}
	f.balanced(f.close(staying), 2*n)
	t.Logf("%d deliveries and 100 dead letters handed over; the stop took %s; %d events had several attempts", n, took.Round(time.Millisecond), several)
}
