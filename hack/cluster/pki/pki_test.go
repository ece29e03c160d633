package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const server = "https://127.0.0.1:1"

var first = node{"first", net.IPv4(192, 0, 2, 7)}

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func made(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := contents(server, first, now)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCertificates checks every certificate as the other side of a connection
// would: by the CA, at a moment, for a use.
func TestCertificates(t *testing.T) {
	files := made(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(files["pki/ca.crt"])
	for _, id := range identities(first) {
		t.Run(id.file, func(t *testing.T) {
			cert := certificate(t, files, id.file)
			if cert.Subject.CommonName != id.user || !slices.Equal(cert.Subject.Organization, id.groups) {
				t.Errorf("it speaks for %v, want %q of %q", cert.Subject, id.user, id.groups)
			}
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
				for _, at := range []time.Time{now, now.Add(validFor - time.Second)} {
					err := verify(cert, roots, use, at)
					if want := slices.Contains(id.usages, use); (err == nil) != want {
						t.Errorf("for use %d at %v: %v, want it to be good: %t", use, at, err, want)
					}
				}
			}
			if err := verify(cert, roots, id.usages[0], now.Add(validFor+time.Second)); err == nil {
				t.Error("it is good for ever")
			}
		})
	}
}

func TestServerName(t *testing.T) {
	files := made(t)
	apiserver, kubelet := certificate(t, files, "apiserver"), certificate(t, files, "kubelet")
	for name, want := range map[string]struct{ apiserver, kubelet bool }{
		"127.0.0.1":              {true, true},
		"192.0.2.7":              {true, true}, // the node
		"10.96.0.1":              {true, true}, // the Service of the API server
		"localhost":              {true, true},
		"first":                  {false, true},
		"kubernetes.default.svc": {true, false},
		"192.0.2.1":              {false, false},
		"example.test":           {false, false},
	} {
		if err := apiserver.VerifyHostname(name); (err == nil) != want.apiserver {
			t.Errorf("API server as %s: %v, want it to be good: %t", name, err, want.apiserver)
		}
		if err := kubelet.VerifyHostname(name); (err == nil) != want.kubelet {
			t.Errorf("kubelet as %s: %v, want it to be good: %t", name, err, want.kubelet)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	files := made(t)
	var config struct {
		CurrentContext string `json:"current-context"`
		Clusters       []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(files["admin.kubeconfig"], &config); err != nil {
		t.Fatal(err)
	}
	if c := config.Clusters[0].Cluster; c.Server != server || !bytes.Equal(c.CA, files["pki/ca.crt"]) {
		t.Errorf("the cluster is %q, and its CA is ours: %t", c.Server, bytes.Equal(c.CA, files["pki/ca.crt"]))
	}
	if u := config.Users[0].User; !bytes.Equal(u.Cert, files["pki/admin.crt"]) || !bytes.Equal(u.Key, files["pki/admin.key"]) {
		t.Error("the user is not admin")
	}
}

// TestNoNode holds that a cluster without a node has no certificate of one.
func TestNoNode(t *testing.T) {
	files, err := contents(server, node{}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pki/kubelet.key", "kube-proxy.kubeconfig"} {
		if _, ok := files[name]; ok {
			t.Errorf("there is %s", name)
		}
	}
}

func TestServiceAccountKeys(t *testing.T) {
	files := made(t)
	private, _ := pem.Decode(files["pki/sa.key"])
	public, _ := pem.Decode(files["pki/sa.pub"])
	key, err := x509.ParseECPrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.ParsePKIXPublicKey(public.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(pub) {
		t.Error("the keys are no pair")
	}
}

// TestPrivate holds that nobody else on the machine can read what was written.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, server, first, now); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		n++
		return err
	})
	if err != nil || n < len(identities(first)) {
		t.Errorf("found %d files, %v", n, err)
	}
}

func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(file, server, first, now); err == nil {
		t.Error("writing below a file succeeded")
	}
}

func certificate(t *testing.T, files map[string][]byte, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(files["pki/"+name+".crt"], files["pki/"+name+".key"])
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func verify(cert *x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage, at time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}
