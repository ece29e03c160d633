package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ServerName is the host of the certificates.
const ServerName = "hooks.example.com"

// Lifetime is how long the certificates live.
const Lifetime = 48 * time.Hour

// Certificate is a self-signed certificate and its key, in PEM.
type Certificate struct{ Cert, Key []byte }

// NewCertificate makes a certificate for ServerName that ends at a moment.
func NewCertificate(t testing.TB, notAfter time.Time) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName},
		NotBefore: notAfter.Add(-Lifetime), NotAfter: notAfter, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Certificate{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// Files are those of a Secret of type kubernetes.io/tls.
func (c Certificate) Files() map[string][]byte {
	return map[string][]byte{"tls.crt": c.Cert, "tls.key": c.Key}
}

// Client returns a TLS configuration that believes these certificates alone.
func Client(t testing.TB, trusted ...Certificate) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	for _, c := range trusted {
		if !pool.AppendCertsFromPEM(c.Cert) {
			t.Fatal("no certificate")
		}
	}
	return &tls.Config{RootCAs: pool, ServerName: ServerName, MinVersion: tls.VersionTLS12}
}

// NewTLSClient returns an HTTP client that believes these certificates alone, and
// speaks HTTP/2 if h2.
func NewTLSClient(t testing.TB, h2 bool, trusted ...Certificate) *http.Client {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: Client(t, trusted...), ForceAttemptHTTP2: h2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: Wait}
}

// Mount is a directory that is filled as the kubelet fills one: files are links into
// ..data, which is a link to a directory that is replaced as a whole.
type Mount struct {
	t   testing.TB
	Dir string
	n   int
}

// NewMount makes one with nothing in it.
func NewMount(t testing.TB) *Mount { return &Mount{t: t, Dir: t.TempDir()} }

// Set replaces what is in the directory.
func (m *Mount) Set(files map[string][]byte) {
	m.t.Helper()
	m.n++
	version := fmt.Sprint("..version", m.n)
	m.must(os.Mkdir(filepath.Join(m.Dir, version), 0o700))
	for name, content := range files {
		m.must(os.WriteFile(filepath.Join(m.Dir, version, name), content, 0o600))
		if _, err := os.Lstat(filepath.Join(m.Dir, name)); err != nil {
			m.must(os.Symlink(filepath.Join("..data", name), filepath.Join(m.Dir, name)))
		}
	}
	m.must(os.Symlink(version, filepath.Join(m.Dir, "..data_tmp")))
	m.must(os.Rename(filepath.Join(m.Dir, "..data_tmp"), filepath.Join(m.Dir, "..data")))
}

func (m *Mount) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}
