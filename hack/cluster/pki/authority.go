package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

const validFor = 365 * 24 * time.Hour

// An identity is who a certificate speaks for.
type identity struct {
	file       string
	user       string
	groups     []string
	usages     []x509.ExtKeyUsage
	names      []string // of a server, beside localhost
	addresses  []net.IP // of a server, beside the loopback address and Service kubernetes
	kubeconfig bool
}

// A node is the machine that pods run on; the zero one is none.
type node struct {
	name    string
	address net.IP
}

// identities lists all certificates: of a control plane, and of the node's programs
// if there is one.
func identities(n node) []identity {
	if n.name == "" {
		return controlPlane(nil)
	}
	return append(controlPlane([]net.IP{n.address}), nodePrograms(n)...)
}

// nodePrograms lists the certificates of what runs at a node, and the one by which
// the API server asks the kubelet for logs.
func nodePrograms(n node) []identity {
	only := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	masters := []string{"system:masters"}
	return []identity{
		{
			file: "kubelet", user: "system:node:" + n.name, groups: []string{"system:nodes"}, usages: both,
			names: []string{n.name}, addresses: []net.IP{n.address}, kubeconfig: true,
		},
		{file: "kube-proxy", user: "system:kube-proxy", usages: only, kubeconfig: true},
		{file: "netpol", user: "netpol", groups: masters, usages: only, kubeconfig: true},
		{file: "apiserver-kubelet", user: "kube-apiserver-kubelet", groups: masters, usages: only},
	}
}

// controlPlane lists the certificates of a control plane, whose API server has more
// addresses. The controller-manager and the scheduler serve their health under the
// certificate that they show the API server.
func controlPlane(addresses []net.IP) []identity {
	client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	only := []x509.ExtKeyUsage{client}
	both := []x509.ExtKeyUsage{client, server}
	kubernetes := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	return []identity{
		{file: "etcd", user: "etcd", usages: both},
		{file: "apiserver", user: "kube-apiserver", usages: both, names: kubernetes, addresses: addresses},
		{file: "front-proxy", user: "front-proxy-client", usages: only},
		{file: "admin", user: "admin", groups: []string{"system:masters"}, usages: only, kubeconfig: true},
		{file: "kwok", user: "kwok", groups: []string{"system:masters"}, usages: only, kubeconfig: true},
		{file: "kcm", user: "system:kube-controller-manager", usages: both, kubeconfig: true},
		{file: "sched", user: "system:kube-scheduler", usages: both, kubeconfig: true},
	}
}

// A pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

func (p pair) addTo(files map[string][]byte, name string) {
	files["pki/"+name+".crt"] = p.cert
	files["pki/"+name+".key"] = p.key
}

// An authority issues certificates that are good from an hour before now.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair pair
	now  time.Time
}

func newAuthority(now time.Time) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, now: now}
	a.cert = &x509.Certificate{
		Subject:               pkix.Name{CommonName: "fairlead-cluster-ca"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	if a.pair, err = a.sign(a.cert, key); err != nil {
		return nil, fmt.Errorf("issuing the CA: %w", err)
	}
	block, _ := pem.Decode(a.pair.cert)
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	return a, nil
}

// issue returns a new key for id and a certificate for it.
func (a *authority) issue(id identity) (pair, error) {
	key, err := newKey()
	if err != nil {
		return pair{}, err
	}
	cert := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id.user, Organization: id.groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: id.usages,
	}
	for _, u := range id.usages {
		if u == x509.ExtKeyUsageServerAuth {
			cert.DNSNames = append([]string{"localhost"}, id.names...)
			cert.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}, id.addresses...)
		}
	}
	return a.sign(cert, key)
}

// sign completes a certificate with a number and dates, and signs it.
func (a *authority) sign(cert *x509.Certificate, key *ecdsa.PrivateKey) (pair, error) {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, fmt.Errorf("drawing a serial number: %w", err)
	}
	cert.SerialNumber = number
	cert.NotBefore, cert.NotAfter = a.now.Add(-time.Hour), a.now.Add(validFor)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return pair{}, fmt.Errorf("signing: %w", err)
	}
	keyPEM, err := privatePEM(key)
	return pair{encode("CERTIFICATE", der), keyPEM}, err
}

// addServiceAccountKeys adds the pair that signs and checks tokens.
func addServiceAccountKeys(files map[string][]byte) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	private, err := privatePEM(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("encoding the public key of service accounts: %w", err)
	}
	files["pki/sa.key"], files["pki/sa.pub"] = private, encode("PUBLIC KEY", public)
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func privatePEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encode("EC PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// kubeconfig holds everything in itself, so it can be copied.
func kubeconfig(server string, ca []byte, client pair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: fairlead
clusters:
- name: fairlead
  cluster:
    server: %q
    certificate-authority-data: %s
users:
- name: user
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: fairlead
  context: {cluster: fairlead, user: user}
`, server, b64(ca), b64(client.cert), b64(client.key))
}
