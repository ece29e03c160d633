// Package admin is the client of the receivers' admin API: what the verbs that
// ask and order have in common. A client speaks to one receiver; whoever has
// several asks each.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
)

// Client asks one receiver. It may be used by several goroutines.
type Client struct {
	address, endpoint string
	http              *http.Client
}

// New returns a client of the admin API at an address like http://127.0.0.1:8081.
// endpoint, as NAMESPACE/NAME, is needed only where a process serves several.
func New(address, endpoint string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not an address like http://127.0.0.1:8081", address)
	}
	return &Client{address: u.Scheme + "://" + u.Host, endpoint: endpoint, http: &http.Client{
		Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 2}, // what is asked for is here, not behind a proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Address returns the receiver's address.
func (c *Client) Address() string { return c.address }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

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
	req, err := http.NewRequestWithContext(ctx, method, c.address+path+"?"+params.Encode(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking %s: %w", c.address, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", c.address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("what %s answers is not the admin API's: is it another version, or something else?", c.address)
	}
	return nil
}

// unreachable says what to do when there is no answer.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) {
		return ErrStopped
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens at %s: is a receiver running there? Start one with fairlead run, "+
			"or forward a pod's port: kubectl port-forward -n NAMESPACE POD 8081", c.address)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer came in time")
	}
	return fmt.Errorf("asking %s: %w", c.address, err)
}

// refused makes an error of an answer.
func (c *Client) refused(resp *http.Response, body []byte) error {
	e := &Error{Address: c.address, Status: resp.StatusCode, body: body}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	var said v1.Error
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Message = c.address + " answers with a redirect, which is not followed; name the receiver itself with --admin"
	case json.Unmarshal(body, &said) == nil && said.Error != "":
		e.Message = strings.ReplaceAll(said.Error, "?endpoint=", "--endpoint ")
	case resp.StatusCode == http.StatusNotFound:
		e.Message = "no admin API is served at " + c.address + "; name the receiver's --admin-listen with --admin"
	default:
		e.Message = fmt.Sprintf("%s answers with status %d", c.address, resp.StatusCode)
	}
	return e
}
