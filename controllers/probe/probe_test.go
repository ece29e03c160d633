package probe_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/controllers/probe"
)

func podNames(reports []probe.Report) []string {
	var names []string
	for _, r := range reports {
		names = append(names, r.Pod)
	}
	return names
}

func TestReportsSorted(t *testing.T) {
	n := newPods()
	n.set("10.0.0.1", page(chat))
	n.set("10.0.0.2", page(types.NamespacedName{Namespace: "community", Name: "other"}))
	r := start(t, probe.Options{Client: n.client(), Port: 9090})
	if got := r.Reports(chat); got != nil {
		t.Errorf("Reports() of what is not watched = %v, want none", got)
	}
	r.Watch(chat, []probe.Target{{Pod: "b", UID: "b", IP: "10.0.0.2"}, {Pod: "c", UID: "c"}, {Pod: "a", UID: "a", IP: "10.0.0.1"}}, false)
	r.changed()
	r.changed()
	got := r.Reports(chat)
	if diff := gocmp.Diff([]string{"a", "b"}, podNames(got)); diff != "" { // c has no address yet
		t.Fatalf("pods that were asked: (-want +got)\n%s", diff)
	}
	want := page(chat)
	if diff := gocmp.Diff(&want, got[0].Page); diff != "" || got[0].Err != nil || !got[0].At.Equal(begun) {
		t.Errorf("report of a = %v at %v, %s", got[0].Err, got[0].At, diff)
	}
	if got[1].Page != nil || got[1].Err == nil {
		t.Errorf("report of b = %v, %v; want an error, as its page names another endpoint", got[1].Page, got[1].Err)
	}
}

// TestChanged says what matters of a page.
func TestChanged(t *testing.T) {
	type edit = func(*statusz.Endpoint)
	at := func(d time.Duration) *time.Time { v := begun.Add(d); return &v }
	for name, tt := range map[string]struct {
		before, after edit
		want          bool
	}{
		"nothing":        {after: func(*statusz.Endpoint) {}},
		"loaded again":   {after: func(e *statusz.Endpoint) { e.Config.LoadedAt = begun.Add(time.Hour) }},
		"queued":         {after: func(e *statusz.Endpoint) { e.Sinks[0].Queued, e.Sinks[0].QueuedBytes = 8, 900 }},
		"oldest":         {after: func(e *statusz.Endpoint) { e.Sinks[0].OldestAgeSeconds = 1.5 }},
		"success":        {after: func(e *statusz.Endpoint) { e.Sinks[0].LastSuccess = at(0) }},
		"failures":       {after: func(e *statusz.Endpoint) { e.Sinks[0].ConsecutiveFailures = 3 }},
		"dead letters":   {after: func(e *statusz.Endpoint) { e.Sinks[0].DeadLetters = 3 }},
		"queue's bytes":  {after: func(e *statusz.Endpoint) { e.Queue.QueuedBytes, e.Queue.StoredEvents, e.Queue.StoredBytes = 1, 2, 3 }},
		"dead bytes":     {after: func(e *statusz.Endpoint) { e.Queue.DeadLetterBytes = 1 }},
		"first use":      {after: func(e *statusz.Endpoint) { e.Secret.Entries[0].LastUsed = at(0) }, want: true},
		"later use":      {before: func(e *statusz.Endpoint) { e.Secret.Entries[0].LastUsed = at(0) }, after: func(e *statusz.Endpoint) { e.Secret.Entries[0].LastUsed = at(time.Hour) }},
		"first unlisted": {after: func(e *statusz.Endpoint) { e.Sources.LastUnlistedValid = at(0) }, want: true},
		"unlisted again": {before: func(e *statusz.Endpoint) { e.Sources.LastUnlistedValid = at(0) }, after: func(e *statusz.Endpoint) { e.Sources.LastUnlistedValid = at(time.Minute) }},
		"unlisted later": {before: func(e *statusz.Endpoint) { e.Sources.LastUnlistedValid = at(0) }, after: func(e *statusz.Endpoint) { e.Sources.LastUnlistedValid = at(time.Hour) }, want: true},
		"sink state":     {after: func(e *statusz.Endpoint) { e.Sinks[0].State = "failing" }, want: true},
		"sink reason":    {after: func(e *statusz.Endpoint) { e.Sinks[0].Reason = "answered 503" }, want: true},
		"sink more":      {after: func(e *statusz.Endpoint) { e.Sinks = append(e.Sinks, statusz.Sink{Name: "b"}) }, want: true},
		"not ready":      {after: func(e *statusz.Endpoint) { e.Ready, e.NotReady = false, "no usable signing secret" }, want: true},
		"suspended":      {after: func(e *statusz.Endpoint) { e.Suspend = "Intake" }, want: true},
		"generation":     {after: func(e *statusz.Endpoint) { e.Config.Generation++ }, want: true},
		"revision":       {after: func(e *statusz.Endpoint) { e.Config.ProfileRevision = "sha256:2" }, want: true},
		"config error":   {after: func(e *statusz.Endpoint) { e.Config.Error = "unknown field" }, want: true},
		"entry more":     {after: func(e *statusz.Endpoint) { e.Secret.Entries = append(e.Secret.Entries, statusz.Entry{Name: "next"}) }, want: true},
		"entry rotated":  {after: func(e *statusz.Endpoint) { e.Secret.Entries[0].Fingerprint = "def" }, want: true},
		"entry missing":  {after: func(e *statusz.Endpoint) { e.Secret.Missing = []string{"next"} }, want: true},
		"entry problem":  {after: func(e *statusz.Endpoint) { e.Secret.Problems = map[string]string{"next": "is empty"} }, want: true},
		"finding":        {after: func(e *statusz.Endpoint) { e.Sources.Finding = statusz.SourceNode }, want: true},
		"verified":       {after: func(e *statusz.Endpoint) { e.Sources.Verified = 9 }},
		"address of a provider": {before: func(e *statusz.Endpoint) { e.Sources.Finding = statusz.SourcePreserved },
			after: func(e *statusz.Endpoint) {
				e.Sources.Finding, e.Sources.Addresses = statusz.SourcePreserved, []string{"198.51.100.7"}
			}},
		"address of a proxy": {after: func(e *statusz.Endpoint) { e.Sources.Addresses = []string{"10.0.0.7"} }, want: true},
		"first unknown":      {after: func(e *statusz.Endpoint) { e.Sources.Unknown = 1 }, want: true},
		"more unknown":       {before: func(e *statusz.Endpoint) { e.Sources.Unknown = 1 }, after: func(e *statusz.Endpoint) { e.Sources.Unknown = 2 }},
		"responder": {after: func(e *statusz.Endpoint) {
			e.Responders = []statusz.Responder{{Name: "a", State: statusz.SinkFailing}}
		}, want: true},
		"ranges":            {after: func(e *statusz.Endpoint) { e.Sources.Ranges = 5 }, want: true},
		"misrouted":         {after: func(e *statusz.Endpoint) { e.Misrouted = []statusz.Misrouted{{Hook: "a", Shape: "b"}} }, want: true},
		"misrouted again":   {before: func(e *statusz.Endpoint) { e.Misrouted = []statusz.Misrouted{{Hook: "a"}} }, after: func(e *statusz.Endpoint) { e.Misrouted = []statusz.Misrouted{{Hook: "a", Count: 2, Last: begun}} }},
		"not synced":        {after: func(e *statusz.Endpoint) { e.Queue.SyncedBeforeReply = false }, want: true},
		"another's page":    {after: func(e *statusz.Endpoint) { e.Name = "other" }, want: true},
		"capacity of queue": {after: func(e *statusz.Endpoint) { e.Queue.CapacityBytes = 1 }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newPods()
			p := page(chat)
			if tt.before != nil {
				tt.before(&p)
			}
			n.set("10.0.0.1", p)
			r := start(t, probe.Options{Client: n.client(), Port: 9090})
			r.Watch(chat, []probe.Target{{Pod: "a", UID: "a", IP: "10.0.0.1"}}, false)
			r.changed()
			p = page(chat)
			tt.after(&p)
			n.set("10.0.0.1", p)
			r.rereads(chat)
			r.stop() // what was to be called was called
			if got := len(r.changes) > 0; got != tt.want {
				t.Errorf("changed: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWatchReplaces(t *testing.T) {
	n := newPods()
	r := start(t, probe.Options{Client: n.client(), Port: 9090})
	a, b := probe.Target{Pod: "a", UID: "a", IP: "10.0.0.1"}, probe.Target{Pod: "b", UID: "b", IP: "10.0.0.2"}
	moved := probe.Target{Pod: "a", UID: "a", IP: "10.0.0.3"}
	for _, step := range []struct {
		name    string
		targets []probe.Target
		asked   int // how many must be asked now
		want    []string
	}{
		{"two", []probe.Target{a, b}, 2, []string{"a", "b"}},
		{"the same", []probe.Target{b, a}, 0, []string{"a", "b"}},
		{"one goes", []probe.Target{b}, 0, []string{"b"}},
		{"it comes back", []probe.Target{a, b}, 1, []string{"a", "b"}},
		{"one moves", []probe.Target{moved, b}, 1, []string{"a", "b"}},
		{"none", nil, 0, nil},
	} {
		r.Watch(chat, step.targets, false)
		for range step.asked {
			r.changed()
		}
		if diff := gocmp.Diff(step.want, podNames(r.Reports(chat))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", step.name, diff)
		}
	}
	r.stop()
	if got := len(r.changes); got != 0 {
		t.Errorf("%d changes more than targets were asked", got)
	}
}

// TestPace lets time pass and counts how often a pod is asked.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fast       bool
		fails      bool
		within     time.Duration
		least, max int
	}{
		{"slow", false, false, 5 * time.Minute, 8, 13},
		{"fast", true, false, time.Minute, 10, 15},
		{"fast but silent", true, true, 5 * time.Minute, 10, 17}, // 5, 10, 20, 30, 30, ... s
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // whose clock goes on only when nobody has anything to do
				n := newPods()
				if !tt.fails {
					n.set("10.0.0.1", page(chat))
				}
				p := probe.New(probe.Options{Client: n.client(), Port: 9090, Changed: func(types.NamespacedName) {}})
				ctx, stop := context.WithTimeout(t.Context(), tt.within)
				defer stop()
				p.Watch(chat, []probe.Target{{Pod: "a", UID: "a", IP: "10.0.0.1"}}, tt.fast)
				if err := p.Start(ctx); err != nil {
					t.Error(err)
				}
				if got := n.count("10.0.0.1"); got < tt.least || got > tt.max {
					t.Errorf("asked %d times in %v, want %d to %d", got, tt.within, tt.least, tt.max)
				}
			})
		})
	}
}

// TestHurry holds that what becomes fast does not wait for its slow turn.
func TestHurry(t *testing.T) {
	n := newPods()
	n.set("10.0.0.1", page(chat))
	r := start(t, probe.Options{Client: n.client(), Port: 9090})
	targets := []probe.Target{{Pod: "a", UID: "a", IP: "10.0.0.1"}}
	r.Watch(chat, targets, false)
	r.changed()
	r.Watch(chat, targets, true)
	r.rereads(chat)
	if got := r.clock.Since(begun); got > 15*time.Second {
		t.Errorf("asked again after %v, want about 5s", got)
	}
}

// TestForgetWhileAsked holds that a target which goes and comes back is not asked
// twice at once, and that what an endpoint said that is forgotten is not told.
func TestForgetWhileAsked(t *testing.T) {
	n := newPods()
	n.hold = make(chan struct{})
	n.set("10.0.0.1", page(chat))
	reg := prometheus.NewRegistry()
	r := start(t, probe.Options{Client: n.client(), Port: 9090, Timeout: time.Hour, Registerer: reg})
	other := types.NamespacedName{Namespace: "community", Name: "other"}
	targets := []probe.Target{{Pod: "a", UID: "a", IP: "10.0.0.1"}}
	r.Watch(chat, targets, true)
	r.Watch(other, []probe.Target{{Pod: "b", UID: "b", IP: "10.0.0.2"}}, true)
	eventually(t, "both are being asked", func() bool { return n.count("10.0.0.1") == 1 && n.count("10.0.0.2") == 1 })
	r.Forget(chat)
	r.Watch(chat, targets, true)
	r.Forget(other)
	close(n.hold)
	if got := r.changed(); got != chat {
		t.Errorf("changed: %v, want %v", got, chat)
	}
	if got := r.Reports(chat); len(got) != 1 || got[0].Page == nil {
		t.Errorf("Reports() = %v, want the page", got)
	}
	eventually(t, "both were read", func() bool { all := reads(t, reg); return all["ok"]+all["invalid"] == 2 })
	r.stop()
	if got := n.count("10.0.0.1"); got != 1 || len(r.changes) > 0 || r.Reports(other) != nil {
		t.Errorf("asked %d times, %d changes more, reports of what is forgotten: %v", got, len(r.changes), r.Reports(other))
	}
}

func TestStopWhileAsked(t *testing.T) {
	n := newPods()
	n.hold = make(chan struct{}) // never closed
	r := start(t, probe.Options{Client: n.client(), Port: 9090, Timeout: time.Hour})
	r.Watch(chat, []probe.Target{{Pod: "a", UID: "a", IP: "10.0.0.1"}}, false)
	eventually(t, "it is being asked", func() bool { return n.count("10.0.0.1") == 1 })
	r.stop()
	if got := r.Reports(chat); got != nil {
		t.Errorf("Reports() = %v, want none: the read was broken off", got)
	}
	if !r.NeedLeaderElection() {
		t.Error("NeedLeaderElection() = false, want true")
	}
}

// TestMany watches 2000 pods: no more are asked at once than was said, all are
// asked, no goroutine comes on top of the workers, and nothing stays behind.
func TestMany(t *testing.T) {
	const endpoints, each, concurrency = 1000, 2, 32
	n := newPods()
	n.hold = make(chan struct{})
	idle := runtime.NumGoroutine()
	r := start(t, probe.Options{Client: n.client(), Port: 9090, Concurrency: concurrency, Timeout: time.Hour})
	keys := make([]types.NamespacedName, endpoints)
	for i := range keys {
		keys[i] = types.NamespacedName{Namespace: "community", Name: fmt.Sprintf("chat-%d", i)}
		var targets []probe.Target
		for j := range each {
			ip := fmt.Sprintf("10.%d.%d.%d", j, i/250, i%250)
			n.set(ip, page(keys[i]))
			targets = append(targets, probe.Target{Pod: fmt.Sprintf("pod-%d", j), UID: types.UID(ip), IP: ip})
		}
		r.Watch(keys[i], targets, false)
	}
	eventually(t, "all workers are busy", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.asking == concurrency
	})
	if got := runtime.NumGoroutine() - idle; got > concurrency+8 {
		t.Errorf("%d goroutines for %d targets, want about %d", got, endpoints*each, concurrency)
	}
	close(n.hold)
	for range endpoints * each {
		r.changed()
	}
	for _, key := range keys {
		if got := r.Reports(key); len(got) != each || cmp.Or(got[0].Err, got[1].Err) != nil {
			t.Fatalf("Reports(%v) = %v, want %d pages", key, got, each)
		}
		r.Forget(key)
	}
	r.stop()
	if n.most != concurrency {
		t.Errorf("at most %d were asked at once, want %d", n.most, concurrency)
	}
	if got := len(r.Reports(keys[0])) + len(r.changes); got != 0 {
		t.Errorf("%d reports and changes are left", got)
	}
}

// TestSpread holds that pods which were found together are not asked together.
func TestSpread(t *testing.T) {
	const targets = 400
	n := newPods()
	r := start(t, probe.Options{Client: n.client(), Port: 9090})
	var all []probe.Target
	for i := range targets {
		ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
		n.set(ip, page(chat))
		all = append(all, probe.Target{Pod: ip, UID: types.UID(ip), IP: ip})
	}
	r.Watch(chat, all, false)
	for range targets {
		r.changed()
	}
	for _, tt := range []struct {
		after      time.Duration
		least, max int
	}{{23 * time.Second, 0, 0}, {30 * time.Second, targets / 4, targets * 3 / 4}, {37 * time.Second, targets, targets}} {
		r.clock.SetTime(begun.Add(tt.after))
		r.step(0)
		again := func() (got int) {
			for _, t := range all {
				got += min(n.count(t.IP)-1, 1)
			}
			return got
		}
		eventually(t, fmt.Sprintf("at least %d are asked again after %v", tt.least, tt.after), func() bool { return again() >= tt.least })
		if got := again(); got > tt.max {
			t.Errorf("%d were asked again after %v, want at most %d", got, tt.after, tt.max)
		}
	}
}
