package desired

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

//go:embed presets/*.yaml
var presets embed.FS

const (
	presetsDir      = "presets"
	presetExtension = ".yaml"
)

// Preset is what is known of an ingress controller: the annotations by which it
// suits webhooks, and how a client's address comes through it.
type Preset struct {
	Name v1alpha1.IngressPreset `json:"name"`
	// Controller is the controller's name in an IngressClass.
	Controller string `json:"controller"`
	// Documentation is where that was read, and Checked the day.
	Documentation string `json:"documentation"`
	Checked       string `json:"checked"`
	// Tried says where and how it was tried, or that it was not.
	Tried string `json:"tried"`
	// Annotations may hold {bodyBytes}, {seconds} and {idleSeconds}.
	Annotations map[string]string `json:"annotations"`
	// Fence is nil if the controller has no allowlist in an annotation.
	Fence *Fence `json:"fence,omitempty"`
	// ClientAddress says how the client's address arrives.
	ClientAddress string `json:"clientAddress"`
	// TrustedProxies is advice: whom to trust.
	TrustedProxies string   `json:"trustedProxies"`
	Notes          []string `json:"notes,omitempty"`
}

// Fence is an annotation that lists who may send. It is a second fence: the
// receiver's holds whether the controller knows the client's address or not.
type Fence struct {
	Annotation string `json:"annotation"`
	// Unless names an annotation with which the fence would be around others too.
	Unless string `json:"unless,omitempty"`
	// Most is how many ranges the fence may have; 0 is any number.
	Most int `json:"most,omitempty"`
}

// Presets returns all presets, sorted by name.
func Presets() ([]*Preset, error) {
	entries, err := presets.ReadDir(presetsDir) // sorted by file name
	if err != nil {
		return nil, fmt.Errorf("listing presets: %w", err)
	}
	all := make([]*Preset, 0, len(entries))
	for _, e := range entries {
		p, err := PresetOf(v1alpha1.IngressPreset(strings.TrimSuffix(e.Name(), presetExtension)))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// PresetOf returns the preset of that name.
func PresetOf(name v1alpha1.IngressPreset) (*Preset, error) {
	data, err := presets.ReadFile(path.Join(presetsDir, string(name)+presetExtension))
	if err != nil {
		return nil, fmt.Errorf("reading preset %q: %w", name, err)
	}
	p, err := ParsePreset(data)
	if err != nil {
		return nil, fmt.Errorf("reading preset %q: %w", name, err)
	}
	return p, nil
}

// ParsePreset reads a preset. A key that is not known is an error, and so is a
// preset that does not say where it is from.
func ParsePreset(data []byte) (*Preset, error) {
	p := &Preset{}
	if err := yaml.UnmarshalStrict(data, p); err != nil {
		return nil, err
	}
	fill := placeholders("", "", "")
	for name, value := range map[string]string{
		"name": string(p.Name), "controller": p.Controller, "documentation": p.Documentation, "checked": p.Checked,
		"tried": p.Tried, "clientAddress": p.ClientAddress, "trustedProxies": p.TrustedProxies,
	} {
		if value == "" {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	if p.Fence != nil && p.Fence.Annotation == "" {
		return nil, errors.New("fence.annotation is missing")
	}
	for key, value := range p.Annotations {
		for _, found := range placeholder.FindAllString(value, -1) {
			if fill.Replace(found) == found {
				return nil, fmt.Errorf("annotation %q holds %s; there are {bodyBytes}, {seconds} and {idleSeconds}", key, found)
			}
		}
	}
	return p, nil
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func placeholders(body, seconds, idle string) *strings.Replacer {
	return strings.NewReplacer("{bodyBytes}", body, "{seconds}", seconds, "{idleSeconds}", idle)
}

const (
	// bodyMargin is how much more a proxy takes than the receiver does: a body that
	// is a little too large is refused by the receiver, in the provider's words.
	bodyMargin = 1 << 10
	// leastIdle is how long a connection without traffic is kept at least.
	leastIdle = 60
)

// presetAnnotations returns what the preset that the endpoint names puts on its
// Ingress; nothing if it names none. A preset that is known to none of us is an
// error: the schema refuses it.
func (b *builder) presetAnnotations(in *v1alpha1.IngressExposure) (map[string]string, error) {
	if in.Preset == "" {
		return nil, nil
	}
	p, err := PresetOf(in.Preset)
	if err != nil {
		return nil, err
	}
	wait := seconds(b.patience())
	idle := wait
	if n, err := strconv.Atoi(wait); err == nil && n < leastIdle {
		idle = strconv.Itoa(leastIdle)
	}
	fill := placeholders(strconv.FormatInt(b.in.Config.Limits.MaxBodyBytes+bodyMargin, 10), wait, idle)
	out := maps.Clone(p.Annotations)
	for key, value := range out {
		out[key] = fill.Replace(value)
	}
	if fence := b.fence(p.Fence, in); fence != nil {
		out[p.Fence.Annotation] = strings.Join(fence, ",")
	}
	return out, nil
}

// fence returns the ranges that a fence lets in; nil for no fence: nothing is
// enforced, there are more than it holds, or it would be around others too.
func (b *builder) fence(f *Fence, in *v1alpha1.IngressExposure) []string {
	if f == nil || !b.enforces() {
		return nil
	}
	if _, shared := in.Annotations[f.Unless]; shared {
		return nil
	}
	ranges := texts(ordered(slices.Clone(b.in.Config.Sources.Ranges)))
	if f.Most > 0 && len(ranges) > f.Most {
		return nil
	}
	return ranges
}
