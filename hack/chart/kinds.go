package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const made = "{{- /* Made by `make generate` from %s; do not edit. */ -}}\n"

// addKinds makes a template of each CRD of a folder.
func addKinds(files map[string][]byte, dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*_*.yaml"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("listing CRDs in %q: found %d: %w", dir, len(paths), errors.Join(err, os.ErrNotExist))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading CRD: %w", err)
		}
		base := filepath.Base(path)
		_, plural, _ := strings.Cut(base, "_")
		if files["templates/crds/"+plural], err = kindTemplate("config/crd/"+base, data); err != nil {
			return fmt.Errorf("making template of %q: %w", base, err)
		}
	}
	return nil
}

// errShape says that controller-gen writes CRDs otherwise than is known here.
var errShape = errors.New("metadata does not begin with annotations, as controller-gen writes it")

// kindTemplate puts into a CRD what values decide: whether it is there at all,
// whether it outlives the release, and labels.
func kindTemplate(from string, crd []byte) ([]byte, error) {
	const begin = "metadata:\n  annotations:\n"
	head, rest, ok := bytes.Cut(bytes.TrimPrefix(escape(crd), []byte("---\n")), []byte("\n"+begin))
	if !ok {
		return nil, errShape
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, made, from)
	b.WriteString("{{- if .Values.crds.enabled }}\n")
	b.Write(head)
	b.WriteString(`
metadata:
  labels:
    {{- include "fairlead.labels" . | nindent 4 }}
  annotations:
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
`)
	b.Write(rest)
	b.WriteString("{{- end }}\n")
	return b.Bytes(), nil
}

// escape has Helm leave braces as they stand.
func escape(text []byte) []byte {
	return bytes.ReplaceAll(text, []byte("{{"), []byte(`{{ "{{" }}`))
}
