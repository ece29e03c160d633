package probe_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

var (
	chat  = types.NamespacedName{Namespace: "community", Name: "chat"}
	begun = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
)

// rig is a Poller that runs until the test ends, on a clock of the test's.
type rig struct {
	*probe.Poller
	t       testing.TB
	clock   *clocktesting.FakeClock
	changes chan types.NamespacedName
	stop    func()
}

func start(t testing.TB, o probe.Options) *rig {
	t.Helper()
	r := &rig{t: t, clock: clocktesting.NewFakeClock(begun), changes: make(chan types.NamespacedName, 10_000)}
	o.Clock = r.clock
	o.Changed = func(key types.NamespacedName) { r.changes <- key }
	r.Poller = probe.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Start(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Start() = %v, want nil", err)
			}
		case <-time.After(patience):
			t.Error("Start has not returned")
		}
	})
	t.Cleanup(r.stop)
	return r
}

// changed waits for a change.
func (r *rig) changed() types.NamespacedName {
	r.t.Helper()
	select {
	case key := <-r.changes:
		return key
	case <-time.After(patience):
		r.t.Fatal("nothing has changed")
		panic("unreachable")
	}
}

// step lets time pass, once the Poller waits for it.
func (r *rig) step(d time.Duration) {
	r.t.Helper()
	eventually(r.t, "the poller waits", r.clock.HasWaiters)
	r.clock.Step(d)
}

// rereads lets time pass until the only target of the endpoint was asked again.
func (r *rig) rereads(key types.NamespacedName) {
	r.t.Helper()
	before := r.Reports(key)[0].At
	eventually(r.t, "the pod was asked again", func() bool {
		if r.Reports(key)[0].At.After(before) {
			return true
		}
		r.clock.Step(time.Second)
		return false
	})
}

// reads returns how many reads were counted, by result.
func reads(t testing.TB, reg *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "fairlead_operator_status_reads_total" {
				all[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return all
}

// eventually waits until ok, and ends the test if that does not come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// pods is a network: what each address answers. It is a transport.
type pods struct {
	mu     sync.Mutex
	pages  map[string]statusz.Endpoint // by host
	asked  map[string]int
	asking int
	most   int
	hold   chan struct{} // if not nil, answers wait until it is closed
}

func newPods() *pods {
	return &pods{pages: map[string]statusz.Endpoint{}, asked: map[string]int{}}
}

func (n *pods) set(ip string, page statusz.Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pages[ip] = page
}

func (n *pods) count(ip string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[ip]
}

func (n *pods) RoundTrip(req *http.Request) (*http.Response, error) {
	ip := req.URL.Hostname()
	n.mu.Lock()
	n.asked[ip]++
	n.asking++
	n.most = max(n.most, n.asking)
	page, hold := n.pages[ip], n.hold
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.asking--
	}()
	if hold != nil {
		select {
		case <-hold:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Request: req, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(pageOf(page)))}, nil
}

func (n *pods) client() *http.Client { return &http.Client{Transport: n} }

// page is what a receiver says of an endpoint that is well.
func page(key types.NamespacedName) statusz.Endpoint {
	return statusz.Endpoint{
		Namespace: key.Namespace, Name: key.Name, Path: "/stream", Suspend: "None", Ready: true,
		Config:  statusz.Config{Generation: 3, Provider: "stream-chat", ProfileRevision: "sha256:1", LoadedAt: begun},
		Secret:  statusz.Secret{Entries: []statusz.Entry{{Name: "current", Fingerprint: "abc"}}},
		Sources: statusz.Sources{Mode: "Enforce", Ranges: 4},
		Sinks:   []statusz.Sink{{Name: "app", State: "ok", Queued: 7}},
		Queue:   statusz.Queue{Type: "Ephemeral", CapacityBytes: 1 << 30, SyncedBeforeReply: true},
	}
}

func pageOf(endpoints ...statusz.Endpoint) string {
	data, err := json.Marshal(statusz.Page{Version: "v1", Started: begun, Endpoints: endpoints})
	if err != nil {
		panic(err)
	}
	return string(data)
}
