package edge_test

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// servers asks HAProxy how its servers are, by what it found at their ready paths:
// L7OK/200 is a receiver that is ready. It is nil before HAProxy can be asked.
func (s *site) servers(t testing.TB) map[string]string {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "unix", filepath.Join(s.dir, "admin.sock"))
	if err != nil {
		return nil
	}
	defer c.Close()
	if _, err := io.WriteString(c, "show stat\n"); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(strings.NewReader(strings.TrimSpace(strings.TrimPrefix(string(text), "# ")))).ReadAll()
	if err != nil || len(table) == 0 {
		t.Fatalf("reading HAProxy's table: %v", err)
	}
	column := map[string]int{}
	for i, name := range table[0] {
		column[name] = i
	}
	found := map[string]string{}
	for _, line := range table[1:] {
		if status := line[column["check_status"]]; status != "" {
			found[line[column["svname"]]] = strings.TrimPrefix(status, "* ") + "/" + line[column["check_code"]]
		}
	}
	return found
}

// health holds that HAProxy finds receivers ready by the path that is there for it,
// through everything that may lie between.
func (w *world) health(t *testing.T) {
	for _, p := range []plan{
		{sample: "haproxy/http.cfg", trusted: true},
		{sample: "haproxy/http-proxy-protocol.cfg", trusted: true, required: true},
		{sample: "haproxy/tcp-proxy-protocol-v2.cfg", trusted: true, required: true},
		{sample: "haproxy/passthrough-proxy-protocol.cfg", trusted: true, required: true, tls: true, own: true},
		{sample: "haproxy/tcp-hidden.cfg"},
	} {
		t.Run(p.sample, func(t *testing.T) {
			t.Parallel()
			p.edit = func(c *v1alpha1.Config) { c.Drain.Delay = metav1.Duration{Duration: servertest.Wait} }
			s := w.newSite(t, p)
			s.awaitServers(t, map[string]string{"receiver": "L7OK/200"})
			if err := s.running[0].cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.awaitServers(t, map[string]string{"receiver": "L7STS/503"})
		})
	}
}

func (s *site) awaitServers(t *testing.T, want map[string]string) {
	t.Helper()
	var got map[string]string
	defer func() {
		if t.Failed() {
			t.Logf("HAProxy's servers are %v", got)
		}
	}()
	servertest.Until(t, fmt.Sprint("servers to be ", want), func() bool {
		got = s.servers(t)
		return maps.Equal(got, want)
	})
}

// stream sends one event after the other from several clients, as Stream would, until
// it is told to stop.
type stream struct {
	stop func() // returns when all has been answered

	mu       sync.Mutex
	accepted []string
	other    map[int]int
}

func (s *site) stream(t *testing.T, clients int) *stream {
	st := &stream{other: map[int]int{}}
	quit := make(chan struct{})
	var all sync.WaitGroup
	for n := range clients {
		c := s.client(t, s.w.stream, false, n%2 == 0) // half of them keep their connections
		tick := time.NewTicker(10 * time.Millisecond)
		all.Go(func() {
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				case <-tick.C:
					id := fmt.Sprint(n, "-", i)
					st.note(id, c.send(id))
				}
			}
		})
	}
	var once sync.Once
	st.stop = func() { once.Do(func() { close(quit); all.Wait() }) }
	t.Cleanup(st.stop)
	return st
}

func (st *stream) note(id string, status int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if status == 200 {
		st.accepted = append(st.accepted, id)
		return
	}
	st.other[status]++
}

func (st *stream) count() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.accepted)
}

// more waits for as many more answers.
func (st *stream) more(t *testing.T, n int) {
	t.Helper()
	enough := st.count() + n
	servertest.Until(t, "answers", func() bool { return st.count() >= enough })
}

// rolling replaces two receivers behind a proxy, one after the other, while
// Stream sends. Every request is answered 200, and every event is at the sink.
func (w *world) rolling(t *testing.T) {
	for _, sample := range []string{"haproxy/rolling.cfg", "nginx/rolling.conf"} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, plan{sample: sample, trusted: true, second: true, edit: func(c *v1alpha1.Config) {
				c.Drain.Delay = metav1.Duration{Duration: time.Second}
			}})
			checked := strings.HasPrefix(sample, "haproxy/")
			ready := map[string]string{"one": "L7OK/200", "two": "L7OK/200"}
			if checked {
				s.awaitServers(t, ready)
			}
			st := s.stream(t, 4)
			for i := range 2 {
				st.more(t, 50)
				s.running[i].stop()
				st.more(t, 50)
				s.start([]string{firstAddress, secondAddress}[i], fmt.Sprint(i+1))
				if checked {
					s.awaitServers(t, ready)
				}
			}
			st.more(t, 50)
			st.stop()
			if len(st.other) > 0 {
				t.Errorf("some requests were not answered 200 but, by status: %v", st.other)
			}
			for _, id := range st.accepted {
				servertest.Until(t, "event "+id, func() bool { return s.sink.times(s.bodyOf(id)) > 0 })
			}
			t.Logf("%d events answered 200, all delivered, while both receivers were replaced", len(st.accepted))
		})
	}
}

// killed ends a receiver without a warning while Stream sends, and starts it again
// with what is on its disk. What was answered 200 is at the sink in the end.
func (w *world) killed(t *testing.T) {
	for _, sample := range []string{"haproxy/rolling.cfg", "nginx/rolling.conf"} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			s := w.newSite(t, plan{sample: sample, trusted: true, second: true})
			st := s.stream(t, 4)
			for range 3 {
				st.more(t, 50)
				s.running[len(s.running)-1].end()
				st.more(t, 20)
				s.start(secondAddress, "2")
			}
			st.stop()
			for _, id := range st.accepted {
				servertest.Until(t, "event "+id, func() bool { return s.sink.times(s.bodyOf(id)) > 0 })
			}
			t.Logf("%d events answered 200, all delivered, while a receiver was killed 3 times; answered otherwise, by status: %v", len(st.accepted), st.other)
		})
	}
}
