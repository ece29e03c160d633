package reload_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/receiver/reload"
)

// Files of one directory are read as they belong together, while the kubelet turns
// it all the time.
func TestReadTogether(t *testing.T) {
	m := &mount{t: t, dir: t.TempDir()}
	m.set(map[string]string{"a": "0", "b": "0"})
	var turning sync.WaitGroup
	turning.Go(func() {
		for i := range 100 {
			both := strings.Repeat("x", i)
			m.set(map[string]string{"a": both, "b": both})
		}
	})
	for range 200 {
		files, err := reload.ReadTogether(m.dir, "a", "b")
		if err == nil && string(files[0]) != string(files[1]) {
			t.Errorf("read %q and %q", files[0], files[1])
		}
	}
	turning.Wait()
	if _, err := reload.ReadTogether(m.dir, "a", "b"); err != nil {
		t.Error(err)
	}
}

func TestReadTogetherRefuses(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20+1), 0o600))
	for name, tt := range map[string]struct {
		dir  string
		name string
		want error
	}{
		"missing file":      {dir, "b", fs.ErrNotExist},
		"missing directory": {filepath.Join(dir, "no"), "a", fs.ErrNotExist},
		"outside":           {dir, "../a", fs.ErrInvalid},
		"large":             {dir, "large", reload.ErrTooLarge},
	} {
		if _, err := reload.ReadTogether(tt.dir, "a", tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
