package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/fairlead-dev/fairlead/config/samples/moderator/moderation"
)

// moderator is the sample moderator, at work on this machine.
type moderator struct {
	server *http.Server
	addr   string
}

func newModerator(ctx context.Context) (*moderator, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening as a moderator: %w", err)
	}
	h := moderation.New(moderation.Rules{Mask: []string{"heck"}, Refuse: []string{"pills"}}, slog.New(slog.DiscardHandler))
	m := &moderator{addr: l.Addr().String()}
	m.server = &http.Server{Handler: h, ReadHeaderTimeout: patience, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = m.server.Serve(l) }() // ends with close, and says only that
	return m, nil
}

// url is put before a hook's name.
func (m *moderator) url() string { return "http://" + m.addr + "/" }

func (m *moderator) close() { _ = m.server.Close() } // whoever asks it has an answer by now
