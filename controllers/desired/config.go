package desired

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// serviceAccount has no token: receivers do not talk to the API server. Its
// annotations may give them an identity elsewhere.
func (b *builder) serviceAccount() *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(b.name(), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).
		WithAnnotations(annotations(b.ep.Spec.Receiver.ServiceAccountAnnotations)).
		WithAutomountServiceAccountToken(false)
}

// configMap holds what receivers read, and what the operator must find again
// after a restart when the provider's profile has gone.
func (b *builder) configMap() (*corev1ac.ConfigMapApplyConfiguration, error) {
	text, err := asYAML(b.in.Config)
	if err != nil {
		return nil, fmt.Errorf("writing configuration of endpoint %q: %w", b.ep.Name, err)
	}
	data := map[string]string{ConfigKey: string(text)}
	if p := b.in.Profile; p != nil {
		text, err := asYAML(manifest(p))
		if err != nil {
			return nil, fmt.Errorf("writing profile %q: %w", p.Name, err)
		}
		data[ProfileKey] = string(text)
	}
	return corev1ac.ConfigMap(ConfigMapName(b.ep.Name), b.ep.Namespace).
		WithLabels(b.labels()).WithOwnerReferences(b.owner()...).
		WithData(data), nil
}

// asYAML writes v as its JSON form says, with whole numbers as they are and every
// text so that it can be read back. To have a YAML parser read the JSON would take
// longer than all else that is built, and it refuses texts that JSON may hold.
func asYAML(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields any
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	return yaml.Marshal(fields)
}

// manifest is what somebody would write to make the profile: no status, and
// nothing that the API server adds.
func manifest(p *v1alpha1.WebhookProvider) *v1alpha1.WebhookProvider {
	return &v1alpha1.WebhookProvider{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WebhookProvider"},
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       p.Spec,
	}
}

// URLs returns where the provider shall post: the endpoint's URL, and that of
// each path of each hook, in the profile's order. base is scheme, host and port,
// such as http://chat-receiver.shop.svc, for an endpoint without a public host;
// if that is empty too, nothing is known and nothing returned.
func URLs(cfg *config.Config, base string) (string, []v1alpha1.HookStatus) {
	url := cfg.URL
	if url == "" {
		if base == "" {
			return "", nil
		}
		url = base + cfg.Path
	}
	var hooks []v1alpha1.HookStatus
	for i := range cfg.Hooks {
		h := &cfg.Hooks[i]
		for _, p := range h.Paths {
			hooks = append(hooks, v1alpha1.HookStatus{Name: h.Name, URL: below(url, p.Path)})
		}
	}
	return url, hooks
}

// below puts a hook's path behind the endpoint's; / is the endpoint's own.
func below(url, path string) string {
	if path == "/" {
		return url
	}
	return strings.TrimSuffix(url, "/") + path
}
