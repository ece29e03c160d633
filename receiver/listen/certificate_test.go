package listen_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/listen"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

func requestFrom(ctx context.Context, peer string) *http.Request {
	return (&http.Request{RemoteAddr: peer, Header: http.Header{}}).WithContext(ctx)
}

// loads counts what a certificate tells.
type loads struct{ good, bad atomic.Int32 }

func (l *loads) note(err error) {
	if err != nil {
		l.bad.Add(1)
		return
	}
	l.good.Add(1)
}

func newCertificate(dir string, l *loads) *listen.Certificate {
	return listen.NewCertificate(listen.CertificateOptions{Dir: dir, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Loaded: l.note})
}

// handshake returns when the certificate that a server shows ends.
func handshake(t *testing.T, server, client *tls.Config) (time.Time, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(a, server).HandshakeContext(t.Context()) // the client sees what is wrong
		_ = a.Close()
	}()
	c := tls.Client(b, client)
	err := c.HandshakeContext(t.Context())
	_ = b.Close()
	<-done
	if err != nil {
		return time.Time{}, err
	}
	return c.ConnectionState().PeerCertificates[0].NotAfter, nil
}

// TestCertificate is what becomes of pairs that are found one after the other.
func TestCertificate(t *testing.T) {
	day := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	first, second := servertest.NewCertificate(t, day), servertest.NewCertificate(t, day.Add(time.Hour))
	ended := servertest.NewCertificate(t, time.Now().Add(-time.Hour))
	none := map[string][]byte{}
	for name, tt := range map[string]struct {
		found     []map[string][]byte
		want      servertest.Certificate // that is in use; none if it has no Cert
		good, bad int32
		wrong     bool // whether the newest is not in use
	}{
		"good":            {[]map[string][]byte{first.Files()}, first, 1, 0, false},
		"the same again":  {[]map[string][]byte{first.Files(), first.Files()}, first, 1, 0, false},
		"renewed":         {[]map[string][]byte{first.Files(), second.Files()}, second, 2, 0, false},
		"nothing":         {[]map[string][]byte{none}, servertest.Certificate{}, 0, 1, true},
		"comes later":     {[]map[string][]byte{none, first.Files()}, first, 1, 1, false},
		"key of another":  {[]map[string][]byte{first.Files(), {"tls.crt": second.Cert, "tls.key": first.Key}}, first, 1, 1, true},
		"no key":          {[]map[string][]byte{first.Files(), {"tls.crt": second.Cert}}, first, 1, 1, true},
		"garbage":         {[]map[string][]byte{first.Files(), {"tls.crt": []byte("x"), "tls.key": nil}}, first, 1, 1, true},
		"garbage alone":   {[]map[string][]byte{{"tls.crt": []byte("x"), "tls.key": nil}}, servertest.Certificate{}, 0, 1, true},
		"has ended":       {[]map[string][]byte{first.Files(), ended.Files()}, first, 1, 1, true},
		"has ended alone": {[]map[string][]byte{ended.Files()}, ended, 1, 0, false}, // better than none: a client may not look
		"taken away":      {[]map[string][]byte{first.Files(), none}, first, 1, 1, true},
		"mended":          {[]map[string][]byte{first.Files(), none, second.Files()}, second, 2, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var l loads
			dir := servertest.NewMount(t)
			c := (*listen.Certificate)(nil)
			for _, files := range tt.found {
				dir.Set(files)
				if c == nil {
					c = newCertificate(dir.Dir, &l)
				}
				c.Reload()
			}
			if good, bad := l.good.Load(), l.bad.Load(); good != tt.good || bad != tt.bad {
				t.Errorf("%d loads succeeded and %d failed, want %d and %d", good, bad, tt.good, tt.bad)
			}
			checkState(t, c, tt.want, tt.wrong)
		})
	}
}

func checkState(t *testing.T, c *listen.Certificate, want servertest.Certificate, wrong bool) {
	t.Helper()
	s, ready := c.State(), c.Ready()
	if (s.Err != nil) != wrong {
		t.Errorf("state = %+v", s)
	}
	if want.Cert == nil {
		if _, err := handshake(t, c.Config(), &tls.Config{InsecureSkipVerify: true}); err == nil || !errors.Is(ready, listen.ErrNoCertificate) || !s.NotAfter.IsZero() {
			t.Errorf("without a certificate: handshake %v, ready %v, state %+v", err, ready, s)
		}
		return
	}
	if life := s.NotAfter.Sub(s.NotBefore); life != servertest.Lifetime {
		t.Errorf("it lives for %v, want %v", life, servertest.Lifetime)
	}
	client := servertest.Client(t, want)
	client.Time = func() time.Time { return s.NotAfter.Add(-time.Minute) }
	notAfter, err := handshake(t, c.Config(), client)
	if err != nil || ready != nil || !notAfter.Equal(s.NotAfter) || len(s.Names) != 1 || s.Names[0] != servertest.ServerName {
		t.Errorf("handshake %v, %v; ready %v, state %+v", notAfter, err, ready, s)
	}
}

// What a client may ask for: TLS 1.2 or later; HTTP/2 if it likes.
func TestVersions(t *testing.T) {
	pair := servertest.NewCertificate(t, time.Now().Add(time.Hour))
	dir := servertest.NewMount(t)
	dir.Set(pair.Files())
	c := newCertificate(dir.Dir, &loads{})
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := servertest.Client(t, pair)
		client.MinVersion, client.MaxVersion = version, version
		if _, err := handshake(t, c.Config(), client); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// A change of the directory is noticed without being told; a plain directory, whose
// files are written in place, too.
func TestWatch(t *testing.T) {
	first, second := servertest.NewCertificate(t, time.Now().Add(time.Hour)), servertest.NewCertificate(t, time.Now().Add(2*time.Hour))
	mounted, plain := servertest.NewMount(t), t.TempDir()
	for name, tt := range map[string]struct {
		dir string
		set func(servertest.Certificate)
	}{
		"mounted": {mounted.Dir, func(c servertest.Certificate) { mounted.Set(c.Files()) }},
		"plain": {plain, func(c servertest.Certificate) {
			for name, content := range c.Files() {
				if err := os.WriteFile(filepath.Join(plain, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var l loads
			c := newCertificate(tt.dir, &l)
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- c.Watch(ctx) }()
			for n, pair := range []servertest.Certificate{first, second} {
				tt.set(pair)
				servertest.Until(t, "the certificate", func() bool { return int(l.good.Load()) == n+1 })
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
