package sink

import (
	"bytes"
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

// httpSink posts each event as a CloudEvent in the HTTP binding's binary mode:
// the attributes in ce- headers, the body as it is.
type httpSink struct {
	transport  *http.Transport
	request    *http.Request // what all requests have in common
	headers    http.Header   // the same of their headers
	typePrefix string
}

// idempotency is a header that is not sent while it has no value, but tells the
// transport that a request may be made again: on a new connection, when one that
// was kept turns out to be closed. Delivery is at least once anyway.
const idempotency = "Idempotency-Key"

func newHTTP(cfg *config.HTTPSink, concurrency int, o Options) (Sink, error) {
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
	return &httpSink{
		transport:  newTransport(concurrency, authorities, newGuard(o.AllowLoopback, o.DenyAddrs)),
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

// newTransport makes the sink's own connection pool, as large as the number of
// attempts that run at once. It takes no proxy from the environment, and follows
// no redirect.
func newTransport(concurrency int, authorities *x509.CertPool, g *guard) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: g.control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities},
		TLSHandshakeTimeout:    30 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
}

// Deliver implements Sink.
func (s *httpSink) Deliver(ctx context.Context, e *event.Event, attempt int) error {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req := s.request.WithContext(httptrace.WithClientTrace(ctx, trace))
	req.Header = s.headersOf(e, attempt)
	req.Body, req.GetBody = http.NoBody, noBody
	if len(e.Body) > 0 {
		req.ContentLength = int64(len(e.Body))
		req.GetBody = func() (io.ReadCloser, error) { return bodyOf(e.Body), nil }
		req.Body = bodyOf(e.Body)
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return &Error{Err: fmt.Errorf("posting event: %w", cause(ctx, err)), Unsent: !connected.Load()}
	}
	return take(resp, time.Now())
}

// Close implements Sink.
func (s *httpSink) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// headersOf returns a request's headers: the provider's, over them those of the
// configuration, and the event's attributes.
func (s *httpSink) headersOf(e *event.Event, attempt int) http.Header {
	const own = 7 // the attributes below
	n := own + len(e.Headers)
	h := make(http.Header, n+len(s.headers))
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
	for name, value := range s.headers {
		if len(value) > 0 || h[name] == nil {
			h[name] = value
		}
	}
	add("Ce-Id", encodeValue(e.ID))
	add("Ce-Type", encodeValue(s.typePrefix+e.Type))
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
