package embedded_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
	"github.com/fairlead-dev/fairlead/receiver/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(t *testing.T, dir string) queue.Queue {
		return open(t, embedded.Options{Dir: dir})
	})
}

func open(t *testing.T, o embedded.Options) *embedded.Queue {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	q, err := embedded.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return q
}
