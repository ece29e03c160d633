package provider

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// ErrUnknown means that no built-in profile has the name.
var ErrUnknown = errors.New("no such built-in profile")

//go:embed profiles/*.yaml
var profiles embed.FS

const (
	folder    = "profiles"
	extension = ".yaml"
)

// BuiltIn returns the built-in profiles, sorted by name. They are the caller's:
// each call returns new ones.
func BuiltIn() ([]*v1alpha1.WebhookProvider, error) {
	names, err := names()
	if err != nil {
		return nil, err
	}
	list := make([]*v1alpha1.WebhookProvider, 0, len(names))
	for _, name := range names {
		p, err := read(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// Get returns the built-in profile of that name; it is the caller's. For another
// name the error is ErrUnknown and says which names there are.
func Get(name string) (*v1alpha1.WebhookProvider, error) {
	names, err := names()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("getting provider %q: %w; there are %s", name, ErrUnknown, strings.Join(names, ", "))
	}
	return read(name)
}

// Revision returns a digest of the profile, as sha256:…. It changes if and only
// if the specification does, whether its defaults are written out or not.
func Revision(p *v1alpha1.WebhookProvider) string {
	p = p.DeepCopy()
	SetDefaults(p)
	sum := sha256.Sum256(canonical(p.Spec))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// canonical returns the JSON of v with the keys of every object sorted.
func canonical(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a profile of strings, numbers and times has no JSON: %v", err))
	}
	var generic any
	if err := json.Unmarshal(data, &generic); err != nil {
		panic(fmt.Sprintf("JSON that was just written cannot be read: %v", err))
	}
	data, err = json.Marshal(generic)
	if err != nil {
		panic(fmt.Sprintf("JSON that was just read cannot be written: %v", err))
	}
	return data
}

// names returns the names of the built-in profiles, sorted.
func names() ([]string, error) {
	entries, err := profiles.ReadDir(folder) // sorted by file name
	if err != nil {
		return nil, fmt.Errorf("listing built-in profiles: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), extension))
	}
	slices.Sort(names)
	return names, nil
}

func read(name string) (*v1alpha1.WebhookProvider, error) {
	data, err := profiles.ReadFile(folder + "/" + name + extension)
	if err != nil {
		return nil, fmt.Errorf("reading built-in profile %q: %w", name, err)
	}
	p, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("built-in profile %q: %w", name, err)
	}
	return p, nil
}
