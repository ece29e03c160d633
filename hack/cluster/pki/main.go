// Pki writes what the programs of a control plane need to trust each other: a CA,
// certificates, the key pair of service accounts, and a kubeconfig for each
// client. Everything is new on each run and good for a year.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

func main() {
	dir := flag.String("dir", "", "`folder` to write to; it must exist")
	server := flag.String("server", "", "`URL` of the API server, for the kubeconfigs")
	name := flag.String("node", "", "`name` of a node, if one is to run pods")
	address := flag.String("node-address", "", "`IP` address of that node; the API server has it, too")
	flag.Parse()
	if err := run(*dir, *server, node{*name, net.ParseIP(*address)}, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		os.Exit(1)
	}
}

// run writes DIR/pki/*.crt and *.key, and DIR/*.kubeconfig, readable by the user
// alone.
func run(dir, server string, n node, now time.Time) error {
	files, err := contents(server, n, now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "pki"), 0o700); err != nil {
		return fmt.Errorf("making the folder of certificates: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %q: %w", name, err)
		}
	}
	return nil
}

// contents returns all files, by their path.
func contents(server string, n node, now time.Time) (map[string][]byte, error) {
	ca, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	ca.pair.addTo(files, "ca")
	for _, id := range identities(n) {
		p, err := ca.issue(id)
		if err != nil {
			return nil, fmt.Errorf("issuing the certificate %q: %w", id.file, err)
		}
		p.addTo(files, id.file)
		if id.kubeconfig {
			files[id.file+".kubeconfig"] = kubeconfig(server, ca.pair.cert, p)
		}
	}
	return files, addServiceAccountKeys(files)
}
