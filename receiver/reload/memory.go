package reload

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"sync"
)

// Memory is a Source whose content the program itself sets: fairlead run makes
// it from manifests, so that secrets touch no disk.
type Memory struct {
	mu      sync.Mutex
	config  []byte
	secrets map[string][]byte
	changed chan struct{}
}

// NewMemory returns a Source with this content. secrets maps SECRET/ENTRY to
// values. Neither may be written to afterwards.
func NewMemory(config []byte, secrets map[string][]byte) *Memory {
	return &Memory{config: config, secrets: secrets, changed: make(chan struct{}, 1)}
}

// Set replaces the content and tells whoever watches.
func (m *Memory) Set(config []byte, secrets map[string][]byte) {
	m.mu.Lock()
	m.config, m.secrets = config, secrets
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default: // a notice is waiting already
	}
}

// ReadConfig implements Source.
func (m *Memory) ReadConfig() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.config, nil
}

// ReadSecret implements Source.
func (m *Memory) ReadSecret(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.secrets[name]
	if !ok {
		return nil, fmt.Errorf("secret entry %q: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

// ListSecret implements Source.
func (m *Memory) ListSecret(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.secrets {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

// Watch implements Source.
func (m *Memory) Watch(ctx context.Context, _ func() []string, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.changed:
			changed()
		}
	}
}
