package handoff_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/handoff"
)

// recorded is a request that a sender made.
type recorded struct {
	path   string
	header http.Header
	body   []byte
}

// tap stands between a sender and a sister, records what is asked, and may alter
// it and its answer.
type tap struct {
	t       testing.TB
	to      string
	seen    []recorded
	request func(*recorded)
	answer  func(path string, status int, body []byte) (int, []byte)
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	rec := recorded{r.URL.Path, r.Header.Clone(), body}
	p.seen = append(p.seen, rec)
	if p.request != nil {
		p.request(&rec)
	}
	status, answer := p.send(rec)
	if p.answer != nil {
		status, answer = p.answer(rec.path, status, answer)
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// send makes a recorded request.
func (p *tap) send(r recorded) (int, []byte) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.to+r.path, bytes.NewReader(r.body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header, req.Close = r.header.Clone(), true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return http.StatusBadGateway, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, b
}

func listenTap(t testing.TB, s *sisterRig) (*tap, netip.AddrPort) {
	p := &tap{t: t, to: "http://" + s.addr.String()}
	addr, _ := serve(t, &http.Server{Handler: p, ReadHeaderTimeout: soon})
	return p, addr
}

// set changes one field of a JSON object.
func set(t testing.TB, body []byte, name string, value any) []byte {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	m[name] = value
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes a byte of text that stays base64.
func flip(s string) string {
	b := []byte(s)
	if b[3] == 'A' {
		b[3] = 'B'
	} else {
		b[3] = 'A'
	}
	return string(b)
}

// A request that somebody on the way has altered, or has recorded and sends again,
// stores nothing, and is counted.
func TestAlteredRequests(t *testing.T) {
	t.Parallel()
	const begin, batch = "/v1/handoff/begin", "/v1/handoff/batch"
	flipHeader := func(name string) func(*recorded) {
		return func(r *recorded) { r.header.Set(name, flip(r.header.Get(name))) }
	}
	for name, tt := range map[string]struct {
		path    string
		alter   func(*recorded)
		counted string
	}{
		"no proof":         {begin, func(r *recorded) { r.body = set(t, r.body, "keys", []any{}) }, "asked:malformed"},
		"other time":       {begin, func(r *recorded) { r.body = set(t, r.body, "time", time.Now().UnixMilli()+1) }, "asked:unproven"},
		"other nonce":      {begin, func(r *recorded) { r.body = set(t, r.body, "nonce", strings.Repeat("A", 43)+"=") }, "asked:unproven"},
		"other version":    {begin, func(r *recorded) { r.body = set(t, r.body, "version", 2) }, "asked:malformed"},
		"other endpoint":   {begin, func(r *recorded) { r.body = set(t, r.body, "name", "feed") }, "asked:foreign"},
		"other namespace":  {begin, func(r *recorded) { r.body = set(t, r.body, "namespace", "x") }, "asked:foreign"},
		"unknown field":    {begin, func(r *recorded) { r.body = set(t, r.body, "more", 1) }, "asked:malformed"},
		"huge":             {begin, func(r *recorded) { r.body = append(r.body, bytes.Repeat([]byte(" "), 1<<20)...) }, "asked:malformed"},
		"no JSON":          {begin, func(r *recorded) { r.body = []byte("\x00") }, "asked:malformed"},
		"other session":    {batch, flipHeader("Fairlead-Session"), "asked:unproven"},
		"wrong proof":      {batch, flipHeader("Fairlead-Proof"), "asked:unproven"},
		"proof left out":   {batch, func(r *recorded) { r.header.Del("Fairlead-Proof") }, "asked:malformed"},
		"other digest":     {batch, flipHeader("Fairlead-Digest"), "asked:unproven"},
		"other number":     {batch, func(r *recorded) { r.header.Set("Fairlead-Batch", "2") }, "asked:unproven"},
		"number is a word": {batch, func(r *recorded) { r.header.Set("Fairlead-Batch", "one") }, "asked:malformed"},
		"tampered body":    {batch, func(r *recorded) { r.body[len(r.body)/2] ^= 1 }, "asked:unproven"},
		"cut body":         {batch, func(r *recorded) { r.body = r.body[:len(r.body)-1] }, "asked:unproven"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, q := listen(t, &fake{}, nil), full(2, "app")
			p, addr := listenTap(t, s)
			p.request = func(r *recorded) {
				if r.path == tt.path {
					tt.alter(r)
				}
			}
			if _, err := handOver(t, brief/2, options(q, newCounts(), addr)); !errors.Is(err, handoff.ErrNoSister) && !errors.Is(err, handoff.ErrNotTaken) {
				t.Errorf("err = %v", err)
			}
			if len(q.rest()) != 2 || len(s.queue.received()) != 0 {
				t.Errorf("left %v, received %v", q.rest(), s.queue.received())
			}
			if s.of(tt.counted) == 0 {
				t.Errorf("the sister counted %v, want %s", s.n, tt.counted)
			}
		})
	}
}

// What is recorded cannot be used again: a hello opens no second session, and a
// batch is stored once.
func TestRecordedRequests(t *testing.T) {
	t.Parallel()
	s, q := listen(t, &fake{}, nil), full(300, "app")
	p, addr := listenTap(t, s)
	var again []byte
	p.answer = func(path string, status int, answer []byte) (int, []byte) {
		if path == "/v1/handoff/batch" && len(p.seen) == 2 { // the first batch: the answer gets lost, and it is asked again
			var st int
			if st, again = p.send(p.seen[1]); st != 200 || !bytes.Equal(again, answer) {
				t.Errorf("the batch again: %d %s, want %s", st, again, answer)
			}
		}
		if len(p.seen) == 3 { // an older one
			if st, _ := p.send(p.seen[1]); st != http.StatusConflict {
				t.Errorf("an old batch: %d", st)
			}
		}
		return status, answer
	}
	if _, err := handOver(t, soon, options(q, newCounts(), addr)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.queue.received()); n != 300 || s.of("received:256") != 1 {
		t.Errorf("received %d: %v", n, s.n)
	}
	for _, r := range p.seen {
		if st, _ := p.send(r); st != http.StatusUnauthorized {
			t.Errorf("%s afterwards: %d, want 401", r.path, st)
		}
	}
	if s.of("asked:repeated") != 1 || s.of("asked:disorder") != 1 || s.of("asked:unproven") != 3 {
		t.Errorf("the sister counted %v", s.n)
	}
}

// A stranger who plays the sister gets nothing forgotten, whatever he answers.
func TestForgedSister(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(path string, status int, body []byte) (int, []byte){
		"wrong proof": func(path string, _ int, b []byte) (int, []byte) {
			return 200, set(t, b, "proof", strings.Repeat("A", 43)+"=")
		},
		"accepts for another": func(path string, _ int, b []byte) (int, []byte) { return 200, set(t, b, "accepted", false) },
		"other nonce": func(path string, _ int, b []byte) (int, []byte) {
			return 200, set(t, b, "nonce", strings.Repeat("A", 43)+"=")
		},
		"raised limit": func(path string, _ int, b []byte) (int, []byte) { return 200, set(t, b, "limit", 1<<40) },
		"forged ack": func(path string, _ int, b []byte) (int, []byte) {
			if path == "/v1/handoff/batch" {
				b = set(t, b, "ack", strings.Repeat("A", 43)+"=")
			}
			return 200, b
		},
		"other count": func(path string, _ int, b []byte) (int, []byte) {
			if path == "/v1/handoff/batch" {
				b = set(t, b, "stored", 1)
			}
			return 200, b
		},
		"nothing": func(string, int, []byte) (int, []byte) { return 200, nil },
		"a page":  func(string, int, []byte) (int, []byte) { return 200, []byte("<html>") },
		"a flood": func(string, int, []byte) (int, []byte) { return 200, bytes.Repeat([]byte(`{"a":`), 1<<20) },
		"a redirect": func(string, int, []byte) (int, []byte) {
			return http.StatusTemporaryRedirect, nil
		},
		"unknown reason": func(string, int, []byte) (int, []byte) { return 503, []byte(`{"reason":"because"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, q, c := listen(t, &fake{}, nil), full(2, "app"), newCounts()
			p, addr := listenTap(t, s)
			p.answer = answer
			if _, err := handOver(t, brief/2, options(q, c, addr)); !errors.Is(err, handoff.ErrNoSister) {
				t.Errorf("err = %v", err)
			}
			if len(q.rest()) != 2 {
				t.Errorf("left %v, want both", q.rest())
			}
			if c.of("sent:forged")+c.of("sent:unanswered") == 0 {
				t.Errorf("counted %v", c.n)
			}
		})
	}
}

// An ack of one batch is none of another, and an answer to one sender none to
// another: a recorded one is of no use.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	s := listen(t, &fake{}, nil)
	p, addr := listenTap(t, s)
	kept := map[string][]byte{}
	p.answer = func(path string, status int, b []byte) (int, []byte) {
		if kept[path] == nil {
			kept[path] = b
		}
		return status, b
	}
	if _, err := handOver(t, soon, options(full(2, "app"), newCounts(), addr)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/handoff/begin", "/v1/handoff/batch"} {
		q, c := full(2, "app"), newCounts()
		p.answer = func(at string, status int, b []byte) (int, []byte) {
			if at == path {
				return 200, kept[path]
			}
			return status, b
		}
		if _, err := handOver(t, brief/2, options(q, c, addr)); !errors.Is(err, handoff.ErrNoSister) || len(q.rest()) != 2 || c.of("sent:forged") == 0 {
			t.Errorf("%s: %v, left %v, counted %v", path, err, q.rest(), c.n)
		}
	}
}

// Nothing of a secret or of an event goes over the wire in an error.
func TestNothingIsTold(t *testing.T) {
	t.Parallel()
	s, q := listen(t, &fake{}, nil), full(2, "app")
	p, addr := listenTap(t, s)
	if _, err := handOver(t, soon, options(q, newCounts(), addr)); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.seen {
		if bytes.Contains(r.body, secret.Value) || r.path == "/v1/handoff/begin" && bytes.Contains(r.body, []byte(secret.Name)) {
			t.Errorf("%s tells the secret", r.path)
		}
	}
}

// A sister has only so many connections, and a stranger who says nothing loses
// his.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s, q := listen(t, &fake{}, nil), full(2, "app")
	var d net.Dialer
	var all []net.Conn
	for range 40 {
		c, err := d.DialContext(t.Context(), "tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	if _, err := handOver(t, soon, options(q, newCounts(), s.addr)); err != nil {
		t.Errorf("a sister did not get through: %v", err)
	}
}

// Sessions that nobody ends make room after a while.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := listen(t, &fake{}, func(o *handoff.ReceiverOptions) { o.Now = func() time.Time { return now } })
	p, addr := listenTap(t, s)
	p.request = func(r *recorded) {
		if r.path == "/v1/handoff/batch" {
			r.header.Del("Fairlead-Proof")
		}
	}
	for range 12 {
		_, _ = handOver(t, 100*time.Millisecond, options(full(1, "app"), newCounts(), addr))
	}
	if s.of("asked:busy") == 0 {
		t.Errorf("counted %v", s.n)
	}
	now = now.Add(3 * time.Minute)
	o := options(full(1, "app"), newCounts(), s.addr)
	o.Now = func() time.Time { return now }
	if _, err := handOver(t, soon, o); err != nil {
		t.Error(err)
	}
}

func TestPeers(t *testing.T) {
	t.Parallel()
	r := resolver{"pods.svc": {"10.0.0.1", "10.0.0.2", "::ffff:10.0.0.3", "fd00::1"}, "two": {"10.0.0.2"}}
	for name, tt := range map[string]struct {
		list, own string
		want      []string
		bad       bool
	}{
		"all but oneself":     {list: "pods.svc:8082", own: "10.0.0.2:8082", want: []string{"10.0.0.1:8082", "10.0.0.3:8082", "[fd00::1]:8082"}},
		"another port":        {list: "pods.svc:8082", own: "10.0.0.2:1", want: []string{"10.0.0.1:8082", "10.0.0.2:8082", "10.0.0.3:8082", "[fd00::1]:8082"}},
		"several":             {list: "two:1, 127.0.0.5:2,two:1", own: "127.0.0.5:3", want: []string{"10.0.0.2:1", "127.0.0.5:2"}},
		"listening on all":    {list: "127.0.0.1:8082,127.0.0.1:8083", own: "[::]:8082", want: []string{"127.0.0.1:8083"}},
		"a name is not found": {list: "nobody:1,two:1", own: "127.0.0.1:1", want: []string{"10.0.0.2:1"}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := handoff.ParsePeers(tt.list, netip.MustParseAddrPort(tt.own), r)
			if err != nil {
				t.Fatal(err)
			}
			addrs, err := p.Resolve(t.Context())
			var got []string
			for _, a := range addrs {
				got = append(got, a.String())
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) || (err != nil) != tt.bad {
				t.Errorf("Resolve = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"pods.svc", ":8082", "a:b", "a:0", "a:99999", "a:1,"} {
		if _, err := handoff.ParsePeers(bad, netip.AddrPort{}, r); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

type resolver map[string][]string

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, a := range r[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}
