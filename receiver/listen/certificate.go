package listen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/reload"
)

// The files of a certificate, as a Secret of type kubernetes.io/tls names them.
const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
)

// ErrNoCertificate means that there is no certificate to serve with, yet.
var ErrNoCertificate = errors.New("no usable certificate")

// CertificateOptions say where a certificate comes from. All but Poll and Loaded
// are needed.
type CertificateOptions struct {
	// Dir holds tls.crt and tls.key, such as a Secret that the kubelet mounts. It
	// need not exist yet.
	Dir    string
	Logger *slog.Logger
	Now    func() time.Time
	// Poll is how often the files are read in any case. 0 means 10 s.
	Poll time.Duration
	// Loaded is told of each pair that was read for the first time: nil if it is in
	// use.
	Loaded func(error)
}

// Certificate is the certificate of a listener, taken live from a directory. A
// pair that cannot be used leaves the last good one working. It may be used from
// many goroutines.
type Certificate struct {
	o       CertificateOptions
	current atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	files [sha256.Size]byte // of the pair that was read last
	read  bool
	why   error // why that one is not in use
}

// NewCertificate returns the certificate in a directory, if there is one.
func NewCertificate(o CertificateOptions) *Certificate {
	c := &Certificate{o: o}
	c.Reload()
	return c
}

// Watch takes each change of the files until ctx ends. Connections that are open
// are not touched.
func (c *Certificate) Watch(ctx context.Context) error {
	return reload.WatchDirs(ctx, c.o.Poll, c.o.Logger, func() []string { return []string{c.o.Dir} }, c.Reload)
}

// Reload reads the files now.
func (c *Certificate) Reload() {
	files, err := reload.ReadTogether(c.o.Dir, certFile, keyFile)
	sum := digest(files, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read && sum == c.files {
		return
	}
	c.read, c.files = true, sum
	if err == nil {
		err = c.take(files[0], files[1])
	}
	c.why = err
	c.tell(err)
}

// tell reports a pair that was read for the first time.
func (c *Certificate) tell(err error) {
	if c.o.Loaded != nil {
		c.o.Loaded(err)
	}
	if err != nil {
		c.o.Logger.Error("The certificate in the TLS directory is not taken; the last good one goes on, if there was one", "err", err)
		return
	}
	c.o.Logger.Info("A certificate was taken", "notAfter", c.current.Load().Leaf.NotAfter)
}

// take makes a pair the one in use.
func (c *Certificate) take(cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("reading certificate and key: %w", err)
	}
	now := c.o.Now()
	if old := c.current.Load(); old != nil && now.Before(old.Leaf.NotAfter) && !now.Before(pair.Leaf.NotAfter) {
		return fmt.Errorf("reading certificate and key: the certificate ended at %s, before the one in use", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.current.Store(&pair)
	return nil
}

// digest tells what was read apart, with an error of reading too.
func digest(files [][]byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte(err.Error()))
	}
	return sha256.Sum256(bytes.Join(files, []byte{0}))
}

// Config returns the TLS configuration of a server with this certificate: TLS 1.2
// and later, HTTP/2 and HTTP/1.1. Without a certificate handshakes fail.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if pair := c.current.Load(); pair != nil {
				return pair, nil
			}
			return nil, ErrNoCertificate
		},
	}
}

// maxNames bounds the names that are told.
const maxNames = 16

// State is what holds for a certificate.
type State struct {
	// NotBefore and NotAfter are when the certificate in use begins and ends; zero if
	// there is none.
	NotBefore, NotAfter time.Time
	// Names are its first DNS names.
	Names []string
	// Err says why there is none, or why the newest is not in use.
	Err error
}

// State returns what holds now.
func (c *Certificate) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair := c.current.Load()
	s := State{Err: c.why}
	if errors.Is(c.why, fs.ErrNotExist) {
		s.Err = errMissing
	}
	if pair != nil {
		s.NotBefore, s.NotAfter = pair.Leaf.NotBefore, pair.Leaf.NotAfter
		s.Names = pair.Leaf.DNSNames[:min(maxNames, len(pair.Leaf.DNSNames))]
	}
	return s
}

var errMissing = fmt.Errorf("the TLS directory has no %s or no %s", certFile, keyFile)

// Ready returns why no handshake can succeed, or nil.
func (c *Certificate) Ready() error {
	if c.current.Load() != nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNoCertificate, c.State().Err)
}
