package edge_test

import (
	"testing"
	"time"
)

// TestEdge tries receivers behind real proxies. Each of its parts has hosts of its
// own for proxy and receiver; those that send are shared.
func TestEdge(t *testing.T) {
	w := newWorld(t)
	t.Run("NothingLeaves", w.nothingLeaves)
	t.Run("Matrix", w.matrix)
	t.Run("Bodies", w.bodies)
	t.Run("Reuse", w.reuse)
	t.Run("Providers", w.providers)
	t.Run("Smuggling", w.smuggling)
	t.Run("Health", w.health)
	t.Run("Rolling", w.rolling)
	t.Run("UnknownClient", w.unknownClient)
	t.Run("MisplacedTrust", w.misplacedTrust)
}

// nothingLeaves holds that a packet to a public address that no host here owns goes
// nowhere.
func (w *world) nothingLeaves(t *testing.T) {
	for _, h := range []*host{w.stream, w.social, w.unknown} {
		before := time.Now()
		c, err := h.dial(t.Context(), "tcp", "192.0.2.1:80")
		if err == nil {
			_ = c.Close()
			t.Fatalf("a connection to an address that nobody has was made after %s", time.Since(before))
		}
	}
}
