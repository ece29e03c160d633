package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxAnswer is how much of an answer is read, shownAnswer how much of one that
	// is no success is told.
	maxAnswer   = 64 << 10
	shownAnswer = 200
	// keptConnections is how many connections are kept without a request.
	keptConnections = 64
	// retryPause is between attempts.
	retryPause = 500 * time.Millisecond
)

// Options say what is sent where.
type Options struct {
	Provider string // stream-chat or social-plus
	URL      string
	// Secret returns the signing secret and the name of its entry, at each event;
	// the name may be empty.
	Secret   func() (secret, entry string, err error)
	Prefix   string // of ids; unique among all probers of a test
	Interval time.Duration
	Timeout  time.Duration // of one attempt; 0 for the provider's
	Fresh    float64       // share of events that get a connection of their own
	Gzip     float64       // share of events that are compressed
	Retries  bool          // send again as the provider does
	Waiting  int           // how many requests may wait for answers
	// Told gets each result, one at a time, as soon as it is there.
	Told func(*Result) error
}

var errProvider = errors.New("the provider is not one of stream-chat, social-plus")

type prober struct {
	Options
	provider
	kept, fresh *http.Client
	waiting     atomic.Int64

	mu      sync.Mutex // guards all below, and calls of Told
	summary Summary
	took    []time.Duration
	err     error
}

// Run sends events until ctx ends, and returns when each of them is answered or
// given up. An error means that a secret could not be read, or a result not told.
func Run(ctx context.Context, o Options) (*Summary, error) {
	one, ok := providers()[o.Provider]
	if !ok {
		return nil, errProvider
	}
	if o.Timeout > 0 {
		one.timeout = o.Timeout
		one.total = max(one.total, o.Timeout)
	}
	p := &prober{Options: o, provider: one, kept: client(false), fresh: client(true),
		summary: Summary{Provider: o.Provider, Answered: map[string]int{}, Unanswered: map[Outcome]int{}, Started: time.Now()}}
	defer p.kept.CloseIdleConnections()
	p.send(ctx)
	p.summary.Finished = time.Now()
	p.summary.times(p.took)
	return &p.summary, p.err
}

func client(fresh bool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{KeepAlive: -1}).DialContext,
			MaxIdleConnsPerHost: keptConnections, IdleConnTimeout: time.Minute,
			DisableKeepAlives: fresh, DisableCompression: true,
		},
	}
}

// send keeps to the times at which events are due, also after one was late.
func (p *prober) send(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; p.failed() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(time.Until(start.Add(time.Duration(n+1) * p.Interval)))
		wg.Go(func() { p.event(context.WithoutCancel(ctx), n) })
	}
}

func (p *prober) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// due spreads a share of the events evenly.
func due(n int, share float64) bool { return int(float64(n+1)*share) > int(float64(n)*share) }

// event sends event n and tells what became of it.
func (p *prober) event(ctx context.Context, n int) {
	defer p.waiting.Add(-1)
	waiting := p.waiting.Add(1)
	now := time.Now()
	r := &Result{Number: n, ID: uuid(fmt.Sprintf("%s%d", p.Prefix, n)), Started: now}
	c := call{id: r.ID, body: p.body(r.ID, fmt.Sprintf("%s%d", p.Prefix, n), now)}
	sum := sha256.Sum256(c.body)
	r.SHA256 = hex.EncodeToString(sum[:])
	var err error
	if c.secret, c.apiKey, err = p.Secret(); err != nil {
		p.tell(r, err)
		return
	}
	if waiting > int64(p.Waiting) {
		r.Outcome, r.Finished = Unsent, time.Now()
	} else {
		p.attempts(ctx, r, c)
	}
	p.tell(r, nil)
}

// attempts tries once, or as often as the provider does.
func (p *prober) attempts(ctx context.Context, r *Result, c call) {
	ctx, cancel := context.WithTimeout(ctx, p.total)
	defer cancel()
	for c.attempt = 1; ; c.attempt++ {
		p.attempt(ctx, r, c)
		if r.Success() || !p.Retries || c.attempt >= p.provider.attempts(r.Outcome, r.Status) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPause):
		}
	}
}

// attempt sends the event once and writes down what became of it.
func (p *prober) attempt(ctx context.Context, r *Result, c call) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r.Attempts, r.Status, r.Detail = c.attempt, 0, ""
	var at trail
	req, err := p.request(httptrace.WithClientTrace(ctx, at.trace()), p.URL, c, due(r.Number, p.Gzip))
	if err == nil {
		from := p.kept
		if due(r.Number, p.Fresh) {
			from = p.fresh
		}
		var resp *http.Response
		if resp, err = from.Do(req); err == nil {
			r.Status, r.Detail, err = read(resp)
		}
	}
	r.Finished = time.Now()
	r.Reused, r.Wrote, r.Local = at.reused.Load(), at.wrote.Load(), at.address()
	r.Outcome = Answered
	if err != nil {
		r.Outcome, r.Detail = outcomeOf(err, at.address() != ""), err.Error()
	}
}

// read reads an answer to its end.
func read(resp *http.Response) (status int, detail string, err error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return resp.StatusCode, "", fmt.Errorf("reading answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		detail = string(b[:min(len(b), shownAnswer)])
	}
	return resp.StatusCode, detail, nil
}

// tell counts a result and passes it on.
func (p *prober) tell(r *Result, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.summary.add(r)
		if r.Outcome == Answered {
			p.took = append(p.took, r.Finished.Sub(r.Started))
		}
		err = p.Told(r)
	}
	if p.err == nil {
		p.err = err
	}
}

// trail is what happened to a request; what the client does in the background may
// still write to it after the answer.
type trail struct {
	reused, wrote atomic.Bool
	local         atomic.Value
}

func (t *trail) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			t.reused.Store(i.Reused)
			t.local.Store(i.Conn.LocalAddr().String())
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) { t.wrote.Store(i.Err == nil) },
	}
}

func (t *trail) address() string {
	s, _ := t.local.Load().(string)
	return s
}

// uuid is made of a name, and looks like a random one.
func uuid(name string) string {
	b := sha256.Sum256([]byte(name))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// SecretOf reads a file that holds `ENTRY SECRET`, or a secret alone, whenever it
// is asked, so that a test may change the file.
func SecretOf(file string) func() (secret, entry string, err error) {
	return func() (secret, entry string, err error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", "", fmt.Errorf("reading secret: %w", err)
		}
		text := strings.TrimSpace(string(b))
		if e, s, ok := strings.Cut(text, " "); ok {
			return s, e, nil
		}
		return text, "", nil
	}
}
