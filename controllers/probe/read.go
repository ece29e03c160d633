package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

const (
	path       = "/statusz"
	maxPage    = 1 << 20
	maxHeaders = 16 << 10
)

// failure is why there is no page. Its text may be shown to anybody who may see
// the endpoint, so it is made here, and no part of it comes from the pod or from
// the network but a status code or an error number.
type failure struct {
	result result
	text   string
}

func (f *failure) Error() string { return f.text }

func invalid(text string) error { return &failure{resultInvalid, text} }

// Client returns a client for status pages: it dials pods directly, follows no
// redirect, keeps no connection, and has no time-out of its own.
func Client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{KeepAlive: -1}).DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true, // nothing may inflate
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// read asks the pod at an address for its page. The error is a failure.
func (p *Poller) read(ctx context.Context, ip string, key types.NamespacedName) (*statusz.Endpoint, *statusz.TLS, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	req, err := request(ctx, ip, p.o.Port)
	if err != nil {
		return nil, nil, err
	}
	resp, err := p.o.Client.Do(req)
	if err != nil {
		return nil, nil, p.unreachable(err)
	}
	defer resp.Body.Close()
	if err := checkHead(resp); err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, nil, p.unreachable(err)
	}
	return decode(data, key)
}

func request(ctx context.Context, ip string, port int) (*http.Request, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return nil, &failure{resultUnreachable, "the pod has no usable address"}
	}
	u := url.URL{Scheme: "http", Host: netip.AddrPortFrom(addr.Unmap(), uint16(port)).String(), Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &failure{resultUnreachable, "the pod has no usable address"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fairlead-operator")
	return req, nil
}

func checkHead(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return invalid(fmt.Sprintf("answered %d", resp.StatusCode))
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return invalid("answered with something else than a status page")
	}
	return nil
}

// decode finds an endpoint on a page, and what the page says of the certificate
// that it is served with. The error is a failure.
func decode(data []byte, key types.NamespacedName) (*statusz.Endpoint, *statusz.TLS, error) {
	if len(data) > maxPage {
		return nil, nil, invalid("the status page is larger than 1 MiB")
	}
	var page statusz.Page
	if json.Unmarshal(data, &page) != nil { // its error quotes the page
		return nil, nil, invalid("the status page cannot be read; let operator and receiver have the same version")
	}
	for i := range page.Endpoints {
		if e := page.Endpoints[i]; e.Namespace == key.Namespace && e.Name == key.Name {
			return &e, page.TLS, nil
		}
	}
	return nil, nil, invalid("the status page does not name this endpoint")
}

// unreachable says what an error of the network means, and leaves out what else
// its text holds.
func (p *Poller) unreachable(err error) error {
	f := &failure{resultUnreachable, "no usable answer in HTTP"}
	var network net.Error
	var number syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		f.text = fmt.Sprintf("timed out after %v", p.o.Timeout.Round(time.Millisecond))
	case errors.As(err, &number):
		f.text = number.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.text = "the connection was closed before the answer ended"
	}
	return f
}
