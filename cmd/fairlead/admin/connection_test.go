package admin_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
)

// broken leads to connections that take all and answer with an error.
type broken struct{ err error }

func (b broken) Dial(context.Context, int) (net.Conn, error) {
	here, there := net.Pipe()
	return saying{here, b.err}, there.Close()
}

func (broken) Close() {}

type saying struct {
	net.Conn
	err error
}

func (s saying) Read([]byte) (int, error)    { return 0, s.err }
func (s saying) Write(b []byte) (int, error) { return len(b), nil }

// TestConnectionSays holds that what a pod's connection ends with is told in its own
// words alone, whoever notices the end first.
func TestConnectionSays(t *testing.T) {
	reason := errors.New("nothing listens there")
	for range 200 {
		c := admin.Of("chat-0", 8081, broken{reason})
		_, err := c.Status(t.Context())
		c.Close()
		if want := "asking chat-0: nothing listens there"; !errors.Is(err, reason) || err.Error() != want {
			t.Fatalf("got %q, want %q", err, want)
		}
	}
}
