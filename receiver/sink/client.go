package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
)

// Client posts events to one URL, each as a CloudEvent in the HTTP binding's
// binary mode. It has its own connections, guards what it dials, and forwards
// nothing that must stay behind. HTTP sinks and responders are made of it. It may
// be used by many goroutines at once.
type Client struct {
	transport  *http.Transport
	request    *http.Request // what all requests have in common
	headers    http.Header   // the same of their headers
	typePrefix string
}

// ClientOptions is what a Client is made with. Of Options it uses all but Stdout.
type ClientOptions struct {
	Options
	// Concurrency is how many connections there are at most, and how many are kept.
	Concurrency int
	// DialTimeout bounds how long a connection takes to be made, and again its TLS
	// handshake. It goes on, within that, when the request that wanted it has ended.
	DialTimeout time.Duration
	// Silence is how long nothing may come by a connection of HTTP/2 before the other
	// side is asked whether it is still there, and again how long that answer may take;
	// then the connection is given up. 0 means 5 s.
	Silence time.Duration
}

// silence is the default of ClientOptions.Silence. Without it, requests would go on
// for a quarter of an hour by a connection whose other side is gone without a word,
// as with a node that is lost: with HTTP/2 one that times out ends no connection.
const silence = 5 * time.Second

// Post says how one event is posted.
type Post struct {
	// Attempt is its number among the attempts, from 1; it is told from 2 on.
	Attempt int
	// Query is put behind the URL's own query, as it is.
	Query string
}

// idempotency is a header that is not sent while it has no value, but tells the
// transport that a request may be made again: on a new connection, when one that
// was kept turns out to be closed. Delivery is at least once anyway.
const idempotency = "Idempotency-Key"

// NewClient makes the Client that cfg describes. Its errors are as New's.
func NewClient(cfg *config.HTTPSink, o ClientOptions) (*Client, error) {
	u, err := target(cfg.URL)
	if err != nil {
		return nil, err
	}
	headers, err := configured(cfg.Headers, o.ReadFile)
	if err != nil {
		return nil, err
	}
	authorities, err := readAuthorities(cfg.CAFile, o.ReadFile)
	if err != nil {
		return nil, err
	}
	headers["Ce-Specversion"] = []string{specVersion}
	headers["Ce-Source"] = []string{encodeValue(o.Source)}
	if headers["User-Agent"] == nil {
		headers["User-Agent"] = []string{userAgent}
	}
	if headers[idempotency] == nil {
		headers[idempotency] = []string{}
	}
	return &Client{
		transport:  newTransport(o, authorities),
		request:    &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
		headers:    headers,
		typePrefix: o.TypePrefix,
	}, nil
}

// target parses a sink's URL. Its errors do not hold the URL.
func target(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("url cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("url is not an absolute http:// or https:// URL")
	case u.User != nil:
		return nil, errors.New("url holds a user name or password; use a header")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// readAuthorities returns the certificates to trust; nil means the system's.
func readAuthorities(path string, readFile func(string) ([]byte, error)) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificates from file %q: %w", path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("file %q holds no certificate in PEM form", path)
	}
	return pool, nil
}

// newTransport makes the Client's own connection pool, as large as the number of
// requests that run at once. It takes no proxy from the environment, and follows
// no redirect.
func newTransport(o ClientOptions, authorities *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: o.DialTimeout, Control: newGuard(o.AllowLoopback, o.DenyAddrs).control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities},
		TLSHandshakeTimeout:    o.DialTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: cmp.Or(o.Silence, silence), PingTimeout: cmp.Or(o.Silence, silence)},
		DisableCompression:     true,
		MaxConnsPerHost:        o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
}

// Post sends an event and returns the answer, whatever its status is; its body
// must be closed. There is no answer only with an *Error, which holds no secret,
// no URL and nothing of the event. The event's body may be read until ctx has
// ended, and for a moment longer.
func (c *Client) Post(ctx context.Context, e *event.Event, p Post) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req := c.request.WithContext(httptrace.WithClientTrace(ctx, trace))
	req.URL = withQuery(req.URL, p.Query)
	req.Header = c.headersOf(e, p.Attempt)
	req.Body, req.GetBody = http.NoBody, noBody
	if len(e.Body) > 0 {
		req.ContentLength = int64(len(e.Body))
		req.GetBody = func() (io.ReadCloser, error) { return bodyOf(e.Body), nil }
		req.Body = bodyOf(e.Body)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, &Error{Err: cause(ctx, err), Unsent: !connected.Load()}
	}
	return resp, nil
}

// withQuery returns a URL with something behind its own query.
func withQuery(u *url.URL, query string) *url.URL {
	if query == "" {
		return u
	}
	v := *u
	if v.RawQuery != "" {
		query = v.RawQuery + "&" + query
	}
	v.RawQuery = query
	return &v
}

// Close closes the connections that are idle, and those under way when they are
// done.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// headersOf returns a request's headers: the provider's, over them those of the
// configuration, and the event's attributes.
func (c *Client) headersOf(e *event.Event, attempt int) http.Header {
	const own = 7 // the attributes below
	n := own + len(e.Headers)
	h := make(http.Header, n+len(c.headers))
	values := make([]string, 0, n) // one allocation for the values of all headers
	add := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, p := range e.Headers {
		if name := http.CanonicalHeaderKey(p.Name); fromProvider(name, p.Value) {
			add(name, p.Value)
		}
	}
	for name, value := range c.headers {
		if len(value) > 0 || h[name] == nil {
			h[name] = value
		}
	}
	add("Ce-Id", encodeValue(e.ID))
	add("Ce-Type", encodeValue(c.typePrefix+e.Type))
	add("Ce-Time", encodeValue(ceTime(e)))
	add("Content-Type", ceContentType(e))
	if e.Subject != "" {
		add("Ce-Subject", encodeValue(e.Subject))
	}
	if attempt > 1 {
		add(headerAttempt, strconv.Itoa(attempt))
	}
	if e.Replay != "" {
		add(headerReplay, encodeValue(e.Replay))
	}
	return h
}

func noBody() (io.ReadCloser, error) { return http.NoBody, nil }

// bodyOf returns an event's body as a request reads it. The transport knows this
// form to be in memory, and sends it in one write with the headers.
func bodyOf(data []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
