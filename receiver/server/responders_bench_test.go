package server_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// load is one kind of request, made in open loop: each at its time, whatever became
// of those before. It keeps how long each took from the time at which it was due.
type load struct {
	name   string
	build  func() *http.Request
	client *http.Client
	want   int // the status; 0: whatever
	mu     sync.Mutex
	took   []time.Duration
}

func newLoad(b *testing.B, name string, want int, build func() *http.Request) *load {
	tr := &http.Transport{MaxIdleConnsPerHost: 256}
	b.Cleanup(tr.CloseIdleConnections)
	return &load{name: name, build: build, client: &http.Client{Transport: tr, Timeout: servertest.Wait}, want: want}
}

func (l *load) send(b *testing.B, due time.Time) {
	resp, err := l.client.Do(l.build())
	if err != nil {
		b.Errorf("%s: %v", l.name, err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	took := time.Since(due)
	if l.want != 0 && resp.StatusCode != l.want {
		b.Errorf("%s: status = %d", l.name, resp.StatusCode)
	}
	l.mu.Lock()
	l.took = append(l.took, took)
	l.mu.Unlock()
}

func (l *load) percentile(p float64) float64 {
	slices.Sort(l.took)
	return float64(l.took[int(p*float64(len(l.took)-1))].Microseconds()) / 1000
}

// report shows p50 and p99 in ms.
func (l *load) report(b *testing.B) {
	b.ReportMetric(l.percentile(.5), l.name+"-p50-ms")
	b.ReportMetric(l.percentile(.99), l.name+"-p99-ms")
}

// run makes n requests of each load, those of one between those of the other.
func run(b *testing.B, n, perSecond int, loads ...*load) {
	var all sync.WaitGroup
	gap := time.Second / time.Duration(perSecond*len(loads))
	due := time.Now()
	for range n {
		for _, l := range loads {
			<-time.After(time.Until(due))
			at := due
			all.Go(func() { l.send(b, at) })
			due = due.Add(gap)
		}
	}
	all.Wait()
}

// BenchmarkResponderLatency compares asking a responder through the receiver with
// asking it directly, 500 a second each, in turns; use -benchtime 5000x or so.
func BenchmarkResponderLatency(b *testing.B) {
	for name, hooks := range map[string][]string{"plain": {"push"}, "copied": {"before-message-send"}} {
		b.Run(name, func(b *testing.B) {
			sink := answering(b, always(http.StatusOK, "text/plain", ""))
			url := answering(b, always(http.StatusOK, "application/json", rewritten))
			r := start(b, b.TempDir(), servertest.Config(b, sink, func(c *v1alpha1.Config) {
				c.Sinks[0].Hooks = hooks
				c.Queue.CapacityBytes = 1 << 30
				c.Responders = []v1alpha1.Responder{responder("before-message-send", "moderator", url, api.FailureDeny)}
			}), servertest.Secrets(servertest.OldSecret))
			direct := newLoad(b, "direct", 200, func() *http.Request { return signed(b, url, beforeSend) })
			through := newLoad(b, "through", 200, func() *http.Request { return signed(b, r.url+"/before-message-send", beforeSend) })
			run(b, 100, 500, direct, through) // opens the connections
			direct.took, through.took = nil, nil
			b.ResetTimer()
			run(b, b.N, 500, direct, through)
			b.StopTimer()
			direct.report(b)
			through.report(b)
			b.ReportMetric(through.percentile(.5)-direct.percentile(.5), "added-p50-ms")
			b.ReportMetric(through.percentile(.99)-direct.percentile(.99), "added-p99-ms")
		})
	}
}

// BenchmarkHangingResponder shows what a responder that hangs costs others: pushes
// and another responder, 100 a second each, are measured with it and without. Until
// the circuit breaker opens, what is asked of it waits for the timeout.
func BenchmarkHangingResponder(b *testing.B) {
	for _, name := range []string{"healthy", "hanging"} {
		b.Run(name, func(b *testing.B) {
			release := make(chan struct{})
			sink := answering(b, always(http.StatusOK, "text/plain", ""))
			good := answering(b, always(http.StatusOK, "application/json", `"good"`))
			hanging := answering(b, func(w http.ResponseWriter, r *http.Request) {
				if name == "hanging" {
					<-release
				}
				always(http.StatusOK, "application/json", `"slow"`)(w, r)
			})
			r := start(b, b.TempDir(), servertest.Config(b, sink, func(c *v1alpha1.Config) {
				c.Queue.CapacityBytes = 1 << 30
				slow := responder("before-message-send", "moderator", hanging, api.FailureAllow)
				slow.Timeout.Duration = 1200 * time.Millisecond
				c.Responders = []v1alpha1.Responder{slow, responder("custom-commands", "commands", good, api.FailureDeny)}
			}), servertest.Secrets(servertest.OldSecret))
			push := newLoad(b, "push", 200, func() *http.Request { return signed(b, r.url, `{"type":"message.new"}`) })
			other := newLoad(b, "other", 200, func() *http.Request {
				return signed(b, r.url+"/custom-commands", `{"message":{"command":"x"},"user":{}}`)
			})
			slow := newLoad(b, "slow", 200, func() *http.Request { return signed(b, r.url+"/before-message-send", beforeSend) })
			run(b, 100, 100, push, other)
			push.took, other.took = nil, nil
			b.ResetTimer()
			run(b, b.N, 100, push, other, slow)
			b.StopTimer()
			close(release)
			for _, l := range []*load{push, other, slow} {
				l.report(b)
			}
		})
	}
}

// signed is a request as Stream sends it, with an id of its own.
func signed(b *testing.B, url, body string) *http.Request {
	req := servertest.Request(b, url, "", servertest.OldSecret, body)
	req.Header.Del("X-Webhook-Id")
	return req
}
