// Package admin is the client of the receivers' admin API: what the verbs that
// ask and order have in common. A client speaks to one receiver; whoever has
// several asks each.
package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const (
	// callTime bounds one call; a receiver gives itself less.
	callTime = time.Minute
	// maxAnswer bounds an answer. A page with bodies has one of at most 64 MiB, in
	// base64 and as JSON.
	maxAnswer = 256 << 20
	// maxStatus bounds a status page, as the operator does: many are read at once.
	maxStatus = 1 << 20
)

// Client asks one receiver. It may be used by several goroutines.
type Client struct {
	address, endpoint string
	// name is what the receiver is called: its address, or its pod's name.
	name string
	// pod is whether it is reached by a Dialer.
	pod bool
	// most bounds answers in place of maxAnswer, if it is set.
	most  int64
	http  *http.Client
	close func()
}

// New returns a client of the admin API at an address like http://127.0.0.1:8081.
// endpoint, as NAMESPACE/NAME, is needed only where a process serves several.
func New(address, endpoint string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not an address like http://127.0.0.1:8081", address)
	}
	address = u.Scheme + "://" + u.Host
	return newClient(address, address, &Client{endpoint: endpoint}, &http.Transport{MaxIdleConnsPerHost: 2}), nil
}

// Dialer connects to a port of a pod's loopback address.
type Dialer interface {
	Dial(ctx context.Context, port int) (net.Conn, error)
	// Close drops what the connections have in common. Dial makes it anew.
	Close()
}

// Of returns a client of the receiver in a pod, at a port that a Dialer leads to.
// Nothing is dialed before something is asked. What Dial returns as an error must
// say what to do.
func Of(pod string, port int, d Dialer) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.Dial(ctx, port) }
	return newClient(pod, fmt.Sprintf("http://127.0.0.1:%d", port), &Client{pod: true, close: d.Close}, &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 2})
}

// newClient has no proxy: what is asked for is here, or behind a Dialer.
func newClient(name, address string, c *Client, t *http.Transport) *Client {
	c.name, c.address = name, address
	c.http = &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Name returns what the receiver is called: its address, or its pod's name.
func (c *Client) Name() string { return c.name }

// Close drops idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	if c.close != nil {
		c.close()
	}
}

// Error is a call that the receiver did not do.
type Error struct {
	Address string
	Status  int
	// Message is what the receiver says.
	Message string
	// RetryAfter is when to try again; 0 if that is of no use.
	RetryAfter time.Duration
	body       []byte
}

func (e *Error) Error() string { return e.Message }

// IsFull reports whether an error means that the receiver has no room, or no
// time, now: nothing was done, and after the wait it may work.
func IsFull(err error) (wait time.Duration, ok bool) {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0 {
		return e.RetryAfter, true
	}
	return 0, false
}

func (c *Client) get(ctx context.Context, path string, params url.Values, into any) error {
	return c.call(ctx, http.MethodGet, path, params, "", nil, into)
}

// post orders something.
func (c *Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing the order: %w", err)
	}
	return c.call(ctx, http.MethodPost, path, nil, "application/json", b, into)
}

func (c *Client) call(ctx context.Context, method, path string, params url.Values, contentType string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if c.endpoint != "" {
		if params == nil {
			params = url.Values{}
		}
		params.Set("endpoint", c.endpoint)
	}
	ctx, sent := traced(ctx)
	req, err := http.NewRequestWithContext(ctx, method, c.address+path+"?"+params.Encode(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking %s: %w", c.name, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return unsure(c.unreachable(err), method, sent)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, cmp.Or(c.most, maxAnswer)))
	if err != nil {
		return unsure(fmt.Errorf("reading the answer of %s: %w", c.name, err), method, sent)
	}
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("what %s answers is not the admin API's: is it another version, or something else?", c.name)
	}
	return nil
}

// traced returns a context whose request notes whether it has gone out. One that
// the library sends once more, on another connection, had not: a POST it never
// repeats otherwise.
func traced(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}), sent
}

// unsure says of an order that went out and was not answered that it may have been
// done. Through a tunnel it goes out before it is known whether somebody is there.
func unsure(err error, method string, sent *atomic.Bool) error {
	if method != http.MethodPost || !sent.Load() || errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return fmt.Errorf("%w; the receiver may have done what it was asked last, so that to ask again does it twice", err)
}

// unreachable says what to do when there is no answer.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	err = saidByConnection(err)
	if errors.Is(err, context.Canceled) {
		return ErrStopped
	}
	if errors.Is(err, syscall.ECONNREFUSED) && !c.pod {
		return fmt.Errorf("nothing listens at %s: is a receiver running there? Start one with fairlead run, "+
			"or forward a pod's port: kubectl port-forward -n NAMESPACE POD 8081", c.name)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer came in time")
	}
	return fmt.Errorf("asking %s: %w", c.name, err)
}

// saidByConnection takes off an error what net/http puts before what a connection
// says. Which of its words those are depends on who sees the end of it first.
func saidByConnection(err error) error {
	for {
		cause, text := errors.Unwrap(err), err.Error()
		if cause == nil || !strings.HasPrefix(text, "net/http: ") && !strings.HasPrefix(text, "readLoopPeekFailLocked: ") {
			return err
		}
		err = cause
	}
}

// refused makes an error of an answer.
func (c *Client) refused(resp *http.Response, body []byte) error {
	e := &Error{Address: c.name, Status: resp.StatusCode, body: body}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	var said v1.Error
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Message = c.name + " answers with a redirect, which is not followed; name the receiver itself with --admin"
	case json.Unmarshal(body, &said) == nil && said.Error != "":
		e.Message = strings.ReplaceAll(printable(said.Error), "?endpoint=", "--endpoint ")
	case c.pod && resp.StatusCode == http.StatusNotFound:
		e.Message = "the receiver in pod " + c.name + " does not know what it is asked: it is of another version than this tool, which fairlead status shows"
	case resp.StatusCode == http.StatusNotFound:
		e.Message = "no admin API is served at " + c.name + "; name the receiver's --admin-listen with --admin"
	default:
		e.Message = fmt.Sprintf("%s answers with status %d", c.name, resp.StatusCode)
	}
	return e
}

// printable is what a receiver says, as a line that a terminal takes for text alone.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
