package desired

import "encoding/json"

// podMonitor asks the Prometheus operator to read the receivers' metrics.
func (b *builder) podMonitor() *untyped {
	meta := map[string]any{"name": b.name(), "namespace": b.ep.Namespace, "labels": b.labels()}
	if owner := b.owner(); len(owner) > 0 {
		meta["ownerReferences"] = owner
	}
	return &untyped{
		apiVersion: "monitoring.coreos.com/v1", kind: "PodMonitor", name: b.name(), namespace: b.ep.Namespace,
		object: map[string]any{
			"apiVersion": "monitoring.coreos.com/v1",
			"kind":       "PodMonitor",
			"metadata":   meta,
			"spec": map[string]any{
				"selector":            map[string]any{"matchLabels": Selector(b.ep.Name)},
				"podMetricsEndpoints": []any{map[string]any{"port": telemetryPortName, "path": "/metrics"}},
			},
		},
	}
}

// untyped is an apply configuration of a kind for which there is no generated
// one. It reads JSON too, because a client puts the API server's answer there.
type untyped struct {
	apiVersion, kind, name, namespace string
	object                            map[string]any
}

func (*untyped) IsApplyConfiguration() {}

func (u *untyped) GetAPIVersion() *string { return &u.apiVersion }
func (u *untyped) GetKind() *string       { return &u.kind }
func (u *untyped) GetName() *string       { return &u.name }
func (u *untyped) GetNamespace() *string  { return &u.namespace }

func (u *untyped) MarshalJSON() ([]byte, error) { return json.Marshal(u.object) }

func (u *untyped) UnmarshalJSON(data []byte) error {
	u.object = nil
	return json.Unmarshal(data, &u.object)
}
