package source

import (
	"context"
	"net/netip"
)

// Announced is what the PROXY protocol header of a connection says.
type Announced struct {
	// Header is whether there was one.
	Header bool
	// Client is the address that it says; not valid if it says none.
	Client netip.Addr
}

// Announcer is a connection that may begin with a PROXY protocol header.
type Announcer interface {
	// Announced is asked once a request of the connection has been read.
	Announced() Announced
}

type announcerKey struct{}

// WithAnnouncer returns the context of a connection's requests.
func WithAnnouncer(ctx context.Context, a Announcer) context.Context {
	return context.WithValue(ctx, announcerKey{}, a)
}

// announced returns what was said of a request's connection; no header if it is of
// a listener that reads none.
func announced(ctx context.Context) Announced {
	if a, ok := ctx.Value(announcerKey{}).(Announcer); ok {
		return a.Announced()
	}
	return Announced{}
}
