package edge_test

import (
	"sync"
	"testing"
)

// TestEdge tries receivers behind real proxies. Each of its parts has hosts of its
// own for proxy and receiver; those that send are shared.
func TestEdge(t *testing.T) {
	w := newWorld(t)
	t.Run("NothingLeaves", w.nothingLeaves)
	t.Run("Matrix", w.matrix)
	t.Run("Bodies", w.bodies)
	t.Run("Hooks", w.hooks)
	t.Run("Reuse", w.reuse)
	t.Run("Providers", w.providers)
	t.Run("IPv6", w.six)
	t.Run("Smuggling", w.smuggling)
	t.Run("Smuggling2", w.smuggling2)
	t.Run("Health", w.health)
	t.Run("Rolling", w.rolling)
	t.Run("Killed", w.killed)
	t.Run("UnknownClient", w.unknownClient)
	t.Run("MisplacedTrust", w.misplacedTrust)
}

// nothingLeaves holds that a packet to a public address that no host here owns goes
// nowhere.
func (w *world) nothingLeaves(t *testing.T) {
	var all sync.WaitGroup
	for _, h := range []*host{w.stream, w.social, w.unknown, w.listed6, w.unknown6} {
		for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
			all.Go(func() {
				if c, err := h.dial(t.Context(), "tcp", address); err == nil {
					_ = c.Close()
					t.Errorf("a connection to %s was made, which nobody has", address)
				}
			})
		}
	}
	all.Wait()
}
