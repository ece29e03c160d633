// Package reload brings the receiver its configuration and its secrets, and
// says when they may have changed. It alone reads those files.
//
// In a pod both are directories that the kubelet fills: it writes a new
// directory beside the old one and then turns the ..data link, so a reader sees
// all of a change or none of it.
package reload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

// Bounds of what is read, in bytes.
const (
	maxConfig = 4 << 20
	// maxFile is what a Secret can hold at all.
	maxFile = 1 << 20
	// maxEntries is how many signing secrets are used.
	maxEntries = 16
)

// ErrTooLarge means that a file is larger than any that can be meant.
var ErrTooLarge = errors.New("file is too large")

// Source is where configuration and secrets come from.
type Source interface {
	// ReadConfig returns the configuration's bytes.
	ReadConfig() ([]byte, error)
	// ReadSecret returns the content of SECRET/ENTRY, or fs.ErrNotExist.
	ReadSecret(name string) ([]byte, error)
	// ListSecret lists a Secret's entries; none if it does not exist.
	ListSecret(dir string) ([]string, error)
	// Watch calls changed whenever something may have changed, until ctx ends. It
	// may call it without a change. dirs lists the secrets' directories that
	// matter, and is asked again after each call.
	Watch(ctx context.Context, dirs func() []string, changed func()) error
}

// Entry is one entry of the Secret with the signing secrets.
type Entry struct {
	Name  string
	Value []byte
}

// Snapshot is configuration and secrets as they were read together.
type Snapshot struct {
	Config *v1alpha1.Config
	// Entries are the signing secrets, by name.
	Entries []Entry
	// Missing lists entries that the configuration names and the Secret lacks.
	Missing []string
	// Files holds the content of each further file that the configuration names,
	// by path; a missing one is left out.
	Files map[string][]byte
	// Digest tells whether two snapshots differ.
	Digest [sha256.Size]byte
}

// ReadFile returns the content of a file of the snapshot, or an error that is
// fs.ErrNotExist.
func (s *Snapshot) ReadFile(name string) ([]byte, error) {
	if b, ok := s.Files[name]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("reading secret file %q: %w", name, fs.ErrNotExist)
}

// Read takes a snapshot. A configuration that cannot be read or decoded is an
// error; a missing secret is not, because it may come later.
func Read(s Source) (*Snapshot, error) {
	raw, err := s.ReadConfig()
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	cfg, err := decode(raw)
	if err != nil {
		return nil, err
	}
	snap := &Snapshot{Config: cfg, Files: map[string][]byte{}}
	sum := sha256.New()
	digest(sum, "", raw)
	if err := snap.readEntries(s, sum); err != nil {
		return nil, err
	}
	if err := snap.readFiles(s, sum); err != nil {
		return nil, err
	}
	sum.Sum(snap.Digest[:0])
	return snap, nil
}

// decode reads a configuration from YAML or JSON. The YAML library finds fields
// that stand twice, but passes over a second document; of JSON the decoder sees
// the very bytes, and finds that too.
func decode(raw []byte) (*v1alpha1.Config, error) {
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	if text := bytes.TrimSpace(raw); bytes.HasPrefix(text, []byte("{")) {
		asJSON = text
	} else if bytes.Contains(raw, []byte("\n---")) {
		return nil, errors.New("reading configuration: it holds more than one document")
	}
	return v1alpha1.Decode(asJSON)
}

// readEntries reads the signing secrets. All entries are read even if there are
// too many; it is for verify to say so.
func (s *Snapshot) readEntries(src Source, sum hash.Hash) error {
	names := slices.Clone(s.Config.Secret.Keys)
	if len(names) == 0 {
		var err error
		if names, err = src.ListSecret(s.Config.Secret.Dir); err != nil {
			return fmt.Errorf("listing signing secrets: %w", err)
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxEntries+1)] {
		b, err := src.ReadSecret(path.Join(s.Config.Secret.Dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.Missing = append(s.Missing, name)
		case err != nil:
			return fmt.Errorf("reading signing secret %q: %w", name, err)
		default:
			s.Entries = append(s.Entries, Entry{name, b})
			digest(sum, name, b)
		}
	}
	return nil
}

// readFiles reads the files that sinks and responders need.
func (s *Snapshot) readFiles(src Source, sum hash.Hash) error {
	for _, name := range namedFiles(s.Config) {
		b, err := src.ReadSecret(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading secret file %q: %w", name, err)
		}
		s.Files[name] = b
		digest(sum, name, b)
	}
	return nil
}

// namedFiles lists the secret files that a configuration's sinks and responders
// name.
func namedFiles(c *v1alpha1.Config) []string {
	var names []string
	for _, s := range c.Posted() {
		names = append(names, s.Files()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Dirs lists the directories, below the secrets' root, that a configuration
// reads.
func Dirs(c *v1alpha1.Config) []string {
	dirs := []string{c.Secret.Dir}
	for _, f := range namedFiles(c) {
		dirs = append(dirs, path.Dir(f))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func digest(h hash.Hash, name string, b []byte) {
	one := sha256.Sum256(b)
	fmt.Fprintf(h, "%d:%s:%x\n", len(name), name, one)
}
