package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Bounds of what is read. A manifest that a cluster takes is far smaller.
const (
	maxFiles     = 256
	maxBytes     = 4 << 20 // of one file
	maxDocuments = 1000    // in one file
)

// source is the content of one file.
type source struct {
	name string
	data []byte
}

// open reads every file that paths stand for.
func open(paths []string, stdin io.Reader) ([]source, error) {
	var all []source
	for _, p := range paths {
		files, err := expand(p)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if len(all) == maxFiles {
				return nil, fmt.Errorf("reading manifests: there are more than %d files", maxFiles)
			}
			s, err := read(f, stdin)
			if err != nil {
				return nil, fmt.Errorf("reading manifests: %w", err)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// expand returns the files of a directory, or the path itself.
func expand(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("reading manifests: directory %q has no .yaml, .yml or .json file", path)
	}
	return files, nil
}

func read(path string, stdin io.Reader) (source, error) {
	if path == "-" {
		data, err := bounded(stdin, "standard input")
		return source{"standard input", data}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	data, err := bounded(f, path)
	return source{path, data}, err
}

func bounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%q is larger than %d bytes", name, maxBytes)
	}
	return data, nil
}

// split cuts a file into its documents: YAML ones between lines of ---, or JSON
// ones behind each other. Documents with nothing in them are left out.
func split(data []byte) ([][]byte, error) {
	next := yamlDocuments(data)
	if kyaml.IsJSONBuffer(data) {
		next = jsonDocuments(data)
	}
	var docs [][]byte
	for {
		doc, err := next()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(docs)+1, err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		if len(docs) == maxDocuments {
			return nil, fmt.Errorf("it holds more than %d documents", maxDocuments)
		}
		docs = append(docs, doc)
	}
}

func yamlDocuments(data []byte) func() ([]byte, error) {
	r := kyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	return r.Read
}

func jsonDocuments(data []byte) func() ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	return func() ([]byte, error) {
		var doc json.RawMessage
		err := d.Decode(&doc)
		return doc, err
	}
}

// decode reads the objects of a document: one, none for a document of comments
// only, or the items of a List.
func decode(doc []byte) ([]map[string]any, error) {
	if err := checkAliases(doc); err != nil {
		return nil, err
	}
	data, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, syntax(err)
	}
	if bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	var obj map[string]any
	strict, err := kjson.UnmarshalStrict(data, &obj)
	if err = errors.Join(append(strict, err)...); err != nil {
		return nil, errors.New("it is not an object; a manifest begins with apiVersion and kind")
	}
	if obj["apiVersion"] == "v1" && obj["kind"] == "List" {
		return items(obj)
	}
	return []map[string]any{obj}, nil
}

// syntax wraps a parser's error, unless it quotes a value: that may be a secret.
func syntax(err error) error {
	if strings.Contains(err.Error(), "`") {
		return errors.New("reading YAML: a value is not of the type that its tag says")
	}
	return fmt.Errorf("reading YAML: %w", err)
}

func items(list map[string]any) ([]map[string]any, error) {
	raw, ok := list["items"].([]any)
	if !ok {
		return nil, errors.New("items of the List is not a list")
	}
	var all []map[string]any
	for i, it := range raw {
		obj, ok := it.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("items[%d] of the List is not an object", i)
		}
		all = append(all, obj)
	}
	return all, nil
}
