package sink

import (
	"context"
	"fmt"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/event"
)

// httpSink posts each event as a CloudEvent in the HTTP binding's binary mode:
// the attributes in ce- headers, the body as it is.
type httpSink struct{ client *Client }

// dialTimeout bounds how long a connection to a sink takes to be made. An
// attempt's own timeout mostly ends it sooner.
const dialTimeout = 30 * time.Second

func newHTTP(cfg *config.HTTPSink, concurrency int, o Options) (Sink, error) {
	c, err := NewClient(cfg, ClientOptions{Options: o, Concurrency: concurrency, DialTimeout: dialTimeout})
	if err != nil {
		return nil, err
	}
	return &httpSink{c}, nil
}

// Deliver implements Sink.
func (s *httpSink) Deliver(ctx context.Context, e *event.Event, attempt int) error {
	resp, err := s.client.Post(ctx, e, Post{Attempt: attempt})
	if err != nil {
		return fmt.Errorf("posting event: %w", err)
	}
	return take(resp, time.Now())
}

// Close implements Sink.
func (s *httpSink) Close() error {
	s.client.Close()
	return nil
}
