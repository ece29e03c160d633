package sink

import (
	"errors"
	"io"
	"net/netip"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

// Options is what sinks of every kind are made with.
type Options struct {
	// Source is the CloudEvents source of all events.
	Source string
	// TypePrefix stands before the provider's type in the CloudEvents type.
	TypePrefix string
	// ReadFile returns the content of a file by its path below the secrets' root.
	ReadFile func(path string) ([]byte, error)
	// AllowLoopback lets sinks dial loopback addresses.
	AllowLoopback bool
	// DenyAddrs are addresses that no sink may dial, on top of those that none may
	// dial anyway: the API server's and the pod's own.
	DenyAddrs []netip.Addr
	// Stdout is where stdout sinks print. Each event is one Write; sinks that share
	// a writer must be given one that may be used by several goroutines.
	Stdout io.Writer
}

// New makes the sink that cfg describes. An error for which errors.Is(err,
// fs.ErrNotExist) holds means that a file is missing: the sink is pending until
// it is there. Any other error lasts until the configuration or a file changes.
// No error holds a header's value, a URL or the content of a file.
func New(cfg config.Sink, o Options) (Sink, error) {
	switch {
	case cfg.HTTP != nil:
		s, err := newHTTP(cfg.HTTP, cfg.Delivery.Concurrency, o)
		if err != nil {
			return nil, err // and no interface with a nil sink in it
		}
		return s, nil
	case cfg.Stdout != nil:
		return newStdout(o), nil
	}
	return nil, errors.New("sink is of no known kind")
}
