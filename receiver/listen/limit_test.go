package listen_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/listen"
)

// knocks is a listener with the connections that a test puts there.
type knocks struct{ waiting []net.Conn }

func (k *knocks) Accept() (net.Conn, error) {
	if len(k.waiting) == 0 {
		return nil, net.ErrClosed
	}
	c := k.waiting[0]
	k.waiting = k.waiting[1:]
	return c, nil
}
func (k *knocks) Close() error   { return nil }
func (k *knocks) Addr() net.Addr { return &net.TCPAddr{} }

// visitor is a connection from an address.
type visitor struct {
	net.Conn
	from   netip.Addr
	mu     sync.Mutex
	closed bool
}

func (v *visitor) RemoteAddr() net.Addr { return &net.TCPAddr{IP: v.from.AsSlice(), Port: 1} }
func (v *visitor) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	return nil
}

func (v *visitor) gone() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// door is a Limit with room for most connections.
type door struct {
	*listen.Limit
	t               *testing.T
	knocks          *knocks
	most            int
	proven, trusted []string
	refused         []listen.Refusal
}

func newDoor(t *testing.T, most int) *door {
	d := &door{t: t, most: most, knocks: &knocks{}}
	d.Limit = listen.NewLimit(d.knocks, listen.LimitOptions{
		Most:    func() int { return d.most },
		Proven:  func(a netip.Addr) bool { return slices.Contains(d.proven, a.String()) },
		Trusted: func(a netip.Addr) bool { return slices.Contains(d.trusted, a.String()) },
		Refused: func(r listen.Refusal) { d.refused = append(d.refused, r) },
	})
	return d
}

// enter makes a connection; it is nil if it was refused.
func (d *door) enter(from string) (*visitor, net.Conn) {
	v := &visitor{from: netip.MustParseAddr(from)}
	d.knocks.waiting = append(d.knocks.waiting, v)
	c, err := d.Accept()
	if (err != nil) != v.gone() {
		d.t.Errorf("Accept() = %v, and the visitor gone = %v", err, v.gone())
	}
	return v, c
}

func TestLimit(t *testing.T) {
	d := newDoor(t, 8)
	in := func(from string) *visitor {
		t.Helper()
		v, c := d.enter(from)
		if c == nil {
			t.Fatalf("the connection of %s is refused", from)
		}
		return v
	}
	out := func(from string) {
		t.Helper()
		if _, c := d.enter(from); c != nil {
			t.Errorf("the connection of %s is let in", from)
		}
	}
	// A source may have all that strangers may, six of eight, while nobody else asks.
	var greedy []*visitor
	for range 6 {
		greedy = append(greedy, in("203.0.113.1"))
	}
	out("203.0.113.1")
	// Others get theirs from the one with most, whichever has done nothing for longest.
	second := in("203.0.113.2")
	if !greedy[0].gone() || greedy[1].gone() {
		t.Error("not the oldest of the greediest is gone")
	}
	in("2001:db8::1")
	in("2001:db8::2")
	// Three, one and two: to take one from another would be no fairer.
	out("203.0.113.1")
	out("2001:db8::3")
	if second.gone() {
		t.Error("the only one of a source is gone")
	}
	// A proven source gets what is left, and then what strangers have.
	d.proven = []string{"198.51.100.1"}
	var good []*visitor
	for range 4 {
		good = append(good, in("198.51.100.1"))
	}
	if all, unproven := d.Open(); all != 8 || unproven != 4 {
		t.Errorf("%d are open and %d of strangers, want 8 and 4", all, unproven)
	}
	for _, v := range good {
		if v.gone() {
			t.Error("a connection of a proven source is gone")
		}
	}
	if !slices.Contains(d.refused, listen.RefusedSource) || !slices.Contains(d.refused, listen.RefusedIdle) {
		t.Errorf("refused %q", d.refused)
	}
}

// A connection with a request in the handler does not go, and one that has proved
// its source is a stranger's no more.
func TestLimitBusy(t *testing.T) {
	d := newDoor(t, 4)
	v, c := d.enter("203.0.113.1")
	in, hold := make(chan struct{}), make(chan struct{})
	h := d.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(in)
		<-hold
	}))
	var all sync.WaitGroup
	all.Go(func() {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(d.Context(r.Context(), c)))
	})
	<-in
	d.most = 1
	if _, other := d.enter("203.0.113.2"); other != nil || v.gone() {
		t.Error("a connection with a request under way goes for another")
	}
	d.proven = []string{"203.0.113.1"}
	close(hold)
	all.Wait()
	if all, unproven := d.Open(); all != 1 || unproven != 0 {
		t.Errorf("%d are open and %d of strangers, want 1 and 0", all, unproven)
	}
	_, _ = c.Close(), c.Close()
	if all, unproven := d.Open(); all != 0 || unproven != 0 {
		t.Errorf("closed twice: %d are open and %d of strangers, want none", all, unproven)
	}
	if diff := cmp.Diff([]listen.Refusal{listen.RefusedFull}, d.refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// Behind a proxy the clients count that it tells of.
func TestLimitBehindProxy(t *testing.T) {
	d := newDoor(t, 4)
	d.trusted = []string{"10.0.0.1"}
	client := netip.MustParseAddr("203.0.113.1")
	var first *visitor
	for n := range 4 {
		v, c := d.enter("10.0.0.1")
		if c == nil {
			t.Fatal("a connection of the proxy is refused")
		}
		if first == nil {
			first = v
		}
		if err := d.Admit(c, client); (err != nil) != (n == 3) {
			t.Errorf("Admit() of the connection %d = %v", n, err)
		}
		if n == 3 {
			_ = c.Close()
		}
	}
	_, c := d.enter("10.0.0.1")
	if err := d.Admit(c, netip.MustParseAddr("203.0.113.2")); err != nil || !first.gone() {
		t.Errorf("Admit() of another client = %v, and the oldest of the first gone = %v", err, first.gone())
	}
	if err := d.Admit(c, client); err != nil {
		t.Errorf("Admit() once more = %v", err)
	}
	if err := d.Admit(&visitor{}, client); err != nil {
		t.Errorf("Admit() of a connection that is not limited = %v", err)
	}
}
