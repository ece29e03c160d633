// Package crd holds the generated CRDs, and checks objects with them as the API
// server does. The tool that works without a cluster and the tests of the kinds
// use it, so that both judge by the very files that a cluster is given.
package crd

import "embed"

// Files holds the generated CRDs, one a file.
//
//go:embed fairlead.dev_*.yaml
var Files embed.FS
