package desired

import "encoding/json"

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

// untyped is an object of the endpoint, of a kind for which there is no generated
// apply configuration.
func (b *builder) untyped(apiVersion, kind string, spec map[string]any) *untyped {
	meta := map[string]any{"name": b.name(), "namespace": b.ep.Namespace, "labels": b.labels()}
	if owner := b.owner(); len(owner) > 0 {
		meta["ownerReferences"] = owner
	}
	return &untyped{
		apiVersion: apiVersion, kind: kind, name: b.name(), namespace: b.ep.Namespace,
		object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta, "spec": spec},
	}
}
