package main

import (
	"bytes"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsModule is where the certificates come from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// rootsPath is the first of the files in which Go looks for certificates.
const rootsPath = "etc/ssl/certs/ca-certificates.crt"

// roots returns Mozilla's certificate authorities as a PEM bundle. Those that are
// trusted only for certificates issued before some day are left out: a bundle has
// no place for the day, and without it they would be trusted too far.
func roots() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("writing certificates: %w", err)
		}
	}
	return b.Bytes(), nil
}
