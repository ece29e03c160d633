package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// Whoever has no secret can make up ids for ever: none of them is stored,
// remembered, counted by name, or kept in memory.
func TestForgedIDsFillNothing(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	client := servertest.NewClient(t)
	servertest.Post(t, client, r.url, "good", servertest.OldSecret, "{}")
	const senders, each = 8, 500
	forge := func(round int) {
		var all sync.WaitGroup
		for s := range senders {
			all.Go(func() {
				for n := range each {
					id := fmt.Sprintf("%d-%d-%d-%s", round, s, n, strings.Repeat("x", 200))
					if got := servertest.Post(t, client, r.url, id, "not the secret", `{"type":"`+id+`"}`); got != 401 {
						t.Errorf("a forged request is answered %d", got)
					}
				}
			})
		}
		all.Wait()
	}
	forge(0) // what is made once: connections, pools
	before, series := heap(), strings.Count(r.get("/metrics"), "\n")
	forge(1)
	forge(2)
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d forged requests take %d bytes of memory", 2*senders*each, grown)
	}
	if now := strings.Count(r.get("/metrics"), "\n"); now != series {
		t.Errorf("%d lines of metrics became %d", series, now)
	}
	if q := r.status().Queue; q.StoredEvents != 1 {
		t.Errorf("%d events are stored, want the good one", q.StoredEvents)
	}
}

// heap is how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
