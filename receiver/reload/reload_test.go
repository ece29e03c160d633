package reload_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mount is a directory that is filled as the kubelet fills one: files are links
// into ..data, which is a link to a directory that is replaced as a whole.
type mount struct {
	t   *testing.T
	dir string
	n   int
}

func (m *mount) set(files map[string]string) {
	m.t.Helper()
	m.n++
	version := filepath.Join(m.dir, "..version"+strings.Repeat("x", m.n))
	check(m.t, os.MkdirAll(version, 0o700))
	for name, content := range files {
		check(m.t, os.WriteFile(filepath.Join(version, name), []byte(content), 0o600))
		if _, err := os.Lstat(filepath.Join(m.dir, name)); err != nil {
			check(m.t, os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)))
		}
	}
	next := filepath.Join(m.dir, "..data_tmp")
	check(m.t, os.Symlink(filepath.Base(version), next))
	check(m.t, os.Rename(next, filepath.Join(m.dir, "..data")))
	links, err := os.ReadDir(m.dir)
	check(m.t, err)
	for _, l := range links {
		if _, ok := files[l.Name()]; !ok && !strings.HasPrefix(l.Name(), "..") {
			check(m.t, os.Remove(filepath.Join(m.dir, l.Name())))
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pod is the directories of a receiver's pod.
type pod struct {
	config, signing, app *mount
	dir                  *reload.Dir
}

func newPod(t *testing.T) *pod {
	root := t.TempDir()
	return &pod{
		config:  &mount{t: t, dir: filepath.Join(root, "config")},
		signing: &mount{t: t, dir: filepath.Join(root, "secrets", "signing")},
		app:     &mount{t: t, dir: filepath.Join(root, "secrets", "app")},
		dir: &reload.Dir{ConfigFile: filepath.Join(root, "config", "config.yaml"), SecretsDir: filepath.Join(root, "secrets"),
			Logger: slog.New(slog.DiscardHandler), Poll: time.Hour},
	}
}

func configText(t *testing.T, edit func(*v1alpha1.Config)) string {
	return string(servertest.Encode(t, servertest.Config(t, "http://127.0.0.1:1", edit)))
}

func TestReadPod(t *testing.T) {
	p := newPod(t)
	p.config.set(map[string]string{"config.yaml": configText(t, func(c *v1alpha1.Config) {
		c.Sinks[0].HTTP.Headers = []v1alpha1.SinkHeader{{Name: "Authorization", File: "app/token"}}
		c.Sinks[0].HTTP.CAFile = "app/ca.pem"
	})})
	p.signing.set(map[string]string{"old": "one\n", "new": "two"})
	p.app.set(map[string]string{"token": "Bearer x"})
	s, err := reload.Read(p.dir)
	check(t, err)
	if diff := cmp.Diff([]reload.Entry{{Name: "new", Value: []byte("two")}, {Name: "old", Value: []byte("one\n")}}, s.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if b, err := s.ReadFile("app/token"); err != nil || string(b) != "Bearer x" {
		t.Errorf("token = %q, %v", b, err)
	}
	if _, err := s.ReadFile("app/ca.pem"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: err = %v, want os.ErrNotExist", err)
	}
	again, err := reload.Read(p.dir)
	check(t, err)
	if again.Digest != s.Digest {
		t.Error("reading the same twice gives two digests")
	}
}

// Entries that the configuration names and the Secret lacks are told; a Secret
// that does not exist at all is no error: it may come.
func TestMissingSecrets(t *testing.T) {
	p := newPod(t)
	p.config.set(map[string]string{"config.yaml": configText(t, func(c *v1alpha1.Config) { c.Secret.Keys = []string{"b", "a"} })})
	p.signing.set(map[string]string{"a": "x", "unused": "y"})
	s, err := reload.Read(p.dir)
	check(t, err)
	if len(s.Entries) != 1 || s.Entries[0].Name != "a" || !cmp.Equal(s.Missing, []string{"b"}) {
		t.Errorf("entries = %v, missing = %v; want a, and b missing", s.Entries, s.Missing)
	}
	p.config.set(map[string]string{"config.yaml": configText(t, func(c *v1alpha1.Config) { c.Secret.Dir = "nowhere" })})
	if s, err = reload.Read(p.dir); err != nil || len(s.Entries) != 0 {
		t.Errorf("entries = %v, %v; want none and no error", s.Entries, err)
	}
}

func TestReadRefuses(t *testing.T) {
	good := configText(t, nil)
	for name, text := range map[string]string{
		"nothing":          "",
		"other kind":       strings.Replace(good, "ReceiverConfig", "Pod", 1),
		"unknown field":    strings.Replace(good, `"drain"`, `"drainage"`, 1),
		"twice":            good + good,
		"duplicate field":  strings.Replace(good, `{"apiVersion"`, `{"path":"/","apiVersion"`, 1),
		"secret elsewhere": strings.Replace(good, `"dir":"signing"`, `"dir":"../../etc"`, 1),
		"too large":        good + strings.Repeat(" ", 4<<20),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.config.set(map[string]string{"config.yaml": text})
			if _, err := reload.Read(p.dir); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

// Each turn of the kubelet's link is noticed, of configuration and of Secrets,
// of one that exists from the start and of one that is mounted later.
func TestWatchPod(t *testing.T) {
	p := newPod(t)
	text := configText(t, func(c *v1alpha1.Config) { c.Sinks[0].HTTP.CAFile = "app/ca.pem" })
	p.config.set(map[string]string{"config.yaml": text})
	p.signing.set(map[string]string{"old": "one"})
	w := watch(t, p.dir)
	w.await("the first reading", func(s *reload.Snapshot) bool { return len(s.Entries) == 1 })
	p.signing.set(map[string]string{"old": "one", "new": "two"})
	w.await("a second entry", func(s *reload.Snapshot) bool { return len(s.Entries) == 2 })
	p.signing.set(map[string]string{"new": "two"})
	w.await("the first entry's end", func(s *reload.Snapshot) bool { return len(s.Entries) == 1 && s.Entries[0].Name == "new" })
	p.config.set(map[string]string{"config.yaml": strings.Replace(text, `"generation":1`, `"generation":2`, 1)})
	w.await("a new configuration", func(s *reload.Snapshot) bool { return s.Config.Endpoint.Generation == 2 })
	check(t, os.MkdirAll(p.app.dir, 0o700))
	p.app.set(map[string]string{"ca.pem": "x"})
	w.await("another Secret", func(s *reload.Snapshot) bool { return string(s.Files["app/ca.pem"]) == "x" })
}

// watcher reads anew at each notice.
type watcher struct {
	t    *testing.T
	mu   sync.Mutex
	last *reload.Snapshot
	news chan struct{}
}

func watch(t *testing.T, src reload.Source) *watcher {
	w := &watcher{t: t, news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	read := func() {
		s, err := reload.Read(src)
		if err != nil {
			return // in the middle of a change
		}
		w.mu.Lock()
		w.last = s
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
	read()
	go func() { done <- src.Watch(ctx, func() []string { return []string{"signing", "app"} }, read) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watching: %v", err)
		}
	})
	return w
}

func (w *watcher) await(what string, ok func(*reload.Snapshot) bool) {
	w.t.Helper()
	deadline := time.After(servertest.Wait)
	for {
		w.mu.Lock()
		s := w.last
		w.mu.Unlock()
		if s != nil && ok(s) {
			return
		}
		select {
		case <-w.news:
		case <-deadline:
			w.t.Fatalf("%s is not noticed", what)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"config.fairlead.dev/v1alpha1","kind":"ReceiverConfig","sinks":[{"name":"a"}]}`))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("kind: ReceiverConfig\nsources: {ranges: [1.2.3.4/33]}\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		s, err := reload.Read(reload.NewMemory(b, nil))
		if err == nil && (len(s.Config.Sinks) == 0 || len(s.Config.Signatures) == 0) {
			panic("a configuration that cannot work is taken")
		}
	})
}
