// Package play plays a provider: it makes requests as the provider would send
// them, signed as the provider's profile says. It has a signer of its own, so
// that a mistake in the receiver's verifier is not made here too.
package play

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Options says what to send. The zero value sends the provider's most ordinary
// event.
type Options struct {
	// Hook is the hook whose requests are made, by its name in the profile; they go
	// to its path below the endpoint's. Empty: events that go to the endpoint's path.
	Hook string
	// Event is the type of the events; empty means the hook's, else the provider's
	// most common.
	Event string
	// Text is what the user of the provider's writes; empty means that it is made up.
	Text string
	// Command is the command that the user gives, for hooks of commands.
	Command string
	// Query is added to the URL, and wins over the provider's own.
	Query url.Values
	// Deadline is how long the provider waits for an answer; 0 means as its profile
	// says.
	Deadline time.Duration
	// Body is sent as it stands; nil means that a body is made for each request.
	Body []byte
	// Key is the value of the header that names the Secret's entry, such as
	// X-Api-Key; empty leaves it out.
	Key string
	// URL is the endpoint's public URL, for providers that sign it.
	URL string
	// Header is added to each request, and wins over the provider's own.
	Header http.Header
	// Gzip compresses the body after it is signed.
	Gzip bool
	// Forge signs with a secret that is not the given one.
	Forge bool
	// Legacy sends the request that the profile ignores instead: the same body,
	// signed in the header of an older product.
	Legacy bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Request is one request, ready to be sent any number of times.
type Request struct {
	Method string
	Header http.Header
	// Body is what goes over the wire; Signed is what was signed, which is the same
	// unless it was compressed.
	Body, Signed []byte
	// ID is the provider's id of the event; empty if it sends none.
	ID string
	// Type is the event's type; empty if a given body does not say.
	Type string
	// Below is the path of the hook behind the endpoint's; empty for that itself.
	Below string
	// Query is what the provider puts behind the path.
	Query url.Values
}

// HTTP returns the request for a client to send to an endpoint.
func (r *Request) HTTP(ctx context.Context, endpoint string) (*http.Request, error) {
	at, err := r.at(endpoint)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, at, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req.Header = r.Header.Clone()
	return req, nil
}

// Player makes the requests of one provider. It may be used by many goroutines at
// once.
type Player struct {
	profile *v1alpha1.WebhookProvider
	options Options
	signer  *signer
	target  target
}

// New returns a player of a provider that signs with secret: the text that the
// provider shows to its customer, with or without a line end behind it. For
// ed25519 and ecdsa-p256-sha256 it is the private key in PEM (PKCS #8).
func New(p *v1alpha1.WebhookProvider, secret []byte, o Options) (*Player, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Legacy && len(p.Spec.Ignore) == 0 {
		return nil, fmt.Errorf("provider %q sends no legacy requests: its profile has nothing to ignore", p.Name)
	}
	t, err := findTarget(p, &o)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(p, secret, o.Forge)
	if err != nil {
		return nil, fmt.Errorf("signing as provider %q: %w", p.Name, err)
	}
	if s.signsURL() && o.URL == "" {
		return nil, fmt.Errorf("signing as provider %q: %w", p.Name, errNoURL)
	}
	return &Player{profile: p, options: o, signer: s, target: t}, nil
}

var errNoURL = errors.New("it signs the endpoint's public URL; say which that is")

// Request makes request number i, counted from 0. Every request is an event of
// its own: ids and times are new, and the number stands in a body that was made.
func (p *Player) Request(i int) (*Request, error) {
	e := &event{number: i, id: uuid.NewString(), kind: p.kind(), now: p.options.Now().UTC(), text: p.options.Text, command: p.command()}
	r := &Request{Method: http.MethodPost, Header: http.Header{}, Type: p.options.Event, Below: p.target.below(), Query: p.query()}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", userAgent(p.profile.Name))
	stamp := p.signer.timestamp(e.now)
	r.Signed = p.options.Body
	if r.Signed == nil {
		r.Type = e.kind
		body, err := p.body(e, stamp)
		if err != nil {
			return nil, err
		}
		r.Signed = body
	}
	p.describe(r.Header, e)
	if err := p.sign(r, stamp); err != nil {
		return nil, err
	}
	r.ID = p.id(r, e)
	return r, p.pack(r)
}

// describe sets the headers in which the profile looks for an event's fields,
// that of a signed id included.
func (p *Player) describe(h http.Header, e *event) {
	from := &p.profile.Spec.Event
	for _, f := range []struct {
		header, value string
	}{
		{string(p.signer.IDHeader), e.id},
		{headerOf(from.ID), e.id},
		{headerOf(from.Type), e.kind},
		{headerOf(from.Time), stampOf(e.now)},
		{headerOf(from.Attempt), strconv.Itoa(1)},
	} {
		if f.header != "" {
			h.Set(f.header, f.value)
		}
	}
	if name := p.signer.EntryHeader; name != "" && p.options.Key != "" {
		h.Set(string(name), p.options.Key)
	}
	for name, values := range p.options.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
}

// headerOf returns the first header among a field's places, or nothing.
func headerOf(sources []v1alpha1.FieldSource) string {
	for _, s := range sources {
		if s.Header != "" {
			return string(s.Header)
		}
	}
	return ""
}

// id returns the id that a receiver finds in the request, or nothing.
func (p *Player) id(r *Request, e *event) string {
	sources := p.profile.Spec.Event.ID
	if h := headerOf(sources); h != "" {
		return r.Header.Get(h)
	}
	if len(sources) > 0 && p.options.Body == nil {
		return e.id // it stands in the body
	}
	return ""
}

// sign adds what proves where the request comes from.
func (p *Player) sign(r *Request, stamp string) error {
	value, err := p.signer.sign(r, stamp, p.options.URL)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	if !p.options.Legacy {
		r.Header.Set(string(p.signer.Header), value)
		return nil
	}
	rule := &p.profile.Spec.Ignore[0]
	for _, h := range rule.Absent {
		r.Header.Del(string(h))
	}
	for _, h := range rule.Present {
		r.Header.Set(string(h), value)
	}
	return nil
}

// pack makes the bytes that go over the wire.
func (p *Player) pack(r *Request) error {
	r.Body = r.Signed
	if !p.options.Gzip {
		return nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(r.Signed); err != nil {
		return fmt.Errorf("compressing body: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compressing body: %w", err)
	}
	r.Body = b.Bytes()
	r.Header.Set("Content-Encoding", "gzip")
	return nil
}
