package edge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests wait for proxies more than they work, so more of them than there are
	// processors run at once.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
}

// Addresses of client hosts.
const (
	streamAddress  = "34.225.10.29"  // Stream's, region us-east
	socialAddress  = "52.77.130.167" // social.plus's, region singapore
	unknownAddress = "203.0.113.7"   // nobody's (RFC 5737)

	listed6Address  = "2001:db8:a::29" // listed besides (RFC 3849)
	unknown6Address = "2001:db8:b::7"  // nobody's
)

// Addresses between a proxy and the receivers behind it, as the samples name them.
const (
	proxyAddress  = "10.20.0.10"
	firstAddress  = "10.20.0.20"
	secondAddress = "10.20.0.21"
)

// publicHost is the name for which proxies and receivers have a certificate.
const publicHost = "hooks.example.com"

// world is what all the tests share: the router, the hosts that send, and programs.
type world struct {
	dir      string
	router   *router
	stream   *host
	social   *host
	unknown  *host
	listed6  *host
	unknown6 *host
	receiver string
	nginx    string
	haproxy  string
	// module is nginx's for TCP; empty if there is none.
	module string
	roots  *x509.CertPool
	sites  atomic.Int32
}

// required is whether what cannot be tried fails the test instead of skipping it.
func required() bool { return os.Getenv("FAIRLEAD_EDGE") == "require" }

// untried says what is not tried, and why.
func untried(t testing.TB, what, why string) {
	t.Helper()
	if required() {
		t.Fatalf("%s: NOT tried: %s", what, why)
	}
	t.Skipf("%s: NOT tried: %s (hack/edge/README.md says what is needed)", what, why)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	if program("ip") == "" {
		untried(t, "receivers behind real proxies", "the program ip is missing (iproute2)")
	}
	var err error
	if w.router, err = newRouter(t); err != nil {
		untried(t, "receivers behind real proxies", err.Error())
	}
	for h, address := range map[**host]string{
		&w.stream: streamAddress, &w.social: socialAddress, &w.unknown: unknownAddress, &w.listed6: listed6Address, &w.unknown6: unknown6Address,
	} {
		*h = w.host(t)
		if err := w.router.join(*h, address); err != nil {
			t.Fatal(err)
		}
	}
	w.nginx, w.haproxy, w.module = program("nginx"), program("haproxy"), moduleOf("ngx_stream_module.so")
	w.receiver = build(t, w.dir)
	if w.roots, err = certify(w.dir); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) host(t testing.TB) *host {
	t.Helper()
	h, err := newHost(t)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// build builds the receiver as a user gets it: without the race detector.
func build(t *testing.T, dir string) string {
	t.Helper()
	// What go test keeps of this package's result is good for as long as the files
	// are the same that it has seen looked at.
	for _, folder := range []string{"../../receiver", "../../api"} {
		if err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "receiver")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "github.com/fairlead-dev/fairlead/receiver")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the receiver: %v: %s", err, out)
	}
	return path
}

// program finds a program where install.sh has put it, or on the machine; empty if it
// is in neither.
func program(name string) string {
	for _, dir := range []string{edgeDir(), "/"} {
		for _, path := range []string{"usr/sbin", "sbin", "usr/bin", "bin"} {
			if found, err := exec.LookPath(filepath.Join(dir, path, name)); err == nil {
				return found
			}
		}
	}
	return ""
}

func moduleOf(name string) string {
	for _, dir := range []string{edgeDir(), "/"} {
		path := filepath.Join(dir, "usr/lib/nginx/modules", name)
		if _, err := os.Stat(path); err == nil {
			return path
		} else if !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	return ""
}

// edgeDir is the folder that install.sh has printed.
func edgeDir() string {
	if dir := os.Getenv("FAIRLEAD_EDGE_DIR"); dir != "" {
		return dir
	}
	return "/"
}

// certify makes a certificate for publicHost: tls.crt, tls.key, and both in tls.pem.
func certify(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: publicHost}, DNSNames: []string{publicHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("writing a key: %w", err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots, errors.Join(
		os.WriteFile(filepath.Join(dir, "tls.crt"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), secret, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.pem"), append(cert, secret...), 0o600))
}
