package endpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// settled reports whether applying want would change nothing of live: every field
// that is wanted has its value and is owned by fieldOwner, and fieldOwner owns no
// other field. It goes by what server-side apply itself records in managedFields,
// so that a steady endpoint costs the API server nothing. What others have added
// is none of its business.
func settled(want map[string]any, live client.Object) (bool, error) {
	owned, err := ownedBy(live, fieldOwner)
	if err != nil || owned == nil {
		return false, err
	}
	if cm, ok := live.(*corev1.ConfigMap); ok {
		live, want = digested(cm), digestedContent(want)
	}
	is, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", live.GetName(), err)
	}
	return sameFields(identified(want), is, owned), nil
}

// ownedBy returns the fields of obj that a manager has applied, or nil.
func ownedBy(obj client.Object, manager string) (*fieldpath.Set, error) {
	for _, e := range obj.GetManagedFields() {
		if e.Manager != manager || e.Operation != metav1.ManagedFieldsOperationApply || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())); err != nil {
			return nil, fmt.Errorf("reading managed fields of %s: %w", obj.GetName(), err)
		}
		return set, nil
	}
	return nil, nil
}

// identified returns want without what names the object, which nobody owns.
func identified(want map[string]any) map[string]any {
	out := make(map[string]any, len(want))
	for k, v := range want {
		if k != "apiVersion" && k != "kind" {
			out[k] = v
		}
	}
	if meta, ok := want["metadata"].(map[string]any); ok {
		rest := make(map[string]any, len(meta))
		for k, v := range meta {
			if k != "name" && k != "namespace" && k != "uid" && k != "resourceVersion" {
				rest[k] = v
			}
		}
		out["metadata"] = rest
	}
	return out
}

// sameFields compares two objects whose fields are owned one by one.
func sameFields(want, live map[string]any, owned *fieldpath.Set) bool {
	for name, w := range want {
		l, ok := live[name]
		if !same(w, l, ok, owned, fieldpath.FieldNameElement(name)) {
			return false
		}
	}
	for _, pe := range elements(owned) {
		if pe.FieldName == nil {
			return false // the API server sees another shape than we do: apply
		}
		if _, ok := want[*pe.FieldName]; !ok {
			return false // not wanted any more
		}
	}
	return true
}

// same compares one wanted value with what is there, and with who owns it.
func same(want, live any, there bool, owned *fieldpath.Set, pe fieldpath.PathElement) bool {
	children, _ := owned.Children.Get(pe)
	if children == nil || children.Empty() { // a leaf, or owned as a whole
		return owned.Members.Has(pe) && covers(want, live, there)
	}
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		return sameFields(w, l, children)
	case []any:
		l, _ := live.([]any)
		return sameElements(w, l, children)
	}
	return false
}

// sameElements compares two lists whose elements are owned one by one, each
// under its key or its value.
func sameElements(want, live []any, owned *fieldpath.Set) bool {
	left := len(want)
	for _, pe := range elements(owned) {
		w, ok := find(want, pe)
		if !ok {
			return false // not wanted any more
		}
		l, there := find(live, pe)
		if !there || !same(w, l, true, owned, pe) {
			return false
		}
		left--
	}
	return left == 0 // else one is wanted and not owned
}

// elements lists what is owned directly below, each once.
func elements(owned *fieldpath.Set) []fieldpath.PathElement {
	var all []fieldpath.PathElement
	owned.Members.Iterate(func(pe fieldpath.PathElement) { all = append(all, pe) })
	owned.Children.Iterate(func(pe fieldpath.PathElement) {
		if !owned.Members.Has(pe) {
			all = append(all, pe)
		}
	})
	return all
}

// find returns the element of a list that pe names.
func find(list []any, pe fieldpath.PathElement) (any, bool) {
	for _, e := range list {
		switch {
		case pe.Value != nil:
			if value.Equals(value.NewValueInterface(e), *pe.Value) {
				return e, true
			}
		case pe.Key != nil:
			if m, ok := e.(map[string]any); ok && hasKey(m, *pe.Key) {
				return e, true
			}
		}
	}
	return nil, false
}

// hasKey reports whether an element has that key. A part of the key that the
// element leaves out is a default, such as a port's protocol.
func hasKey(m map[string]any, key value.FieldList) bool {
	for _, f := range key {
		if v, ok := m[f.Name]; ok && !value.Equals(value.NewValueInterface(v), f.Value) {
			return false
		}
	}
	return true
}

// covers reports whether live has all that want says. What want leaves out is
// left to defaults. Lists are as long as they are wanted.
func covers(want, live any, there bool) bool {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for k, v := range w {
			lv, ok := l[k]
			if !covers(v, lv, ok) {
				return false
			}
		}
		return true
	case []any:
		l, _ := live.([]any)
		if len(w) != len(l) {
			return false
		}
		for i := range w {
			if !covers(w[i], l[i], true) {
				return false
			}
		}
		return true
	}
	return there && reflect.DeepEqual(want, live)
}

// digestMark stands in the annotations of a ConfigMap that holds digests. Such a
// one is only in memory; an annotation that somebody else sets has it compared as
// it is, and so put right.
const digestMark = "fairlead.dev/digested"

// digestConfigMap puts digests in the place of what a ConfigMap holds, once.
func digestConfigMap(cm *corev1.ConfigMap) {
	if _, ok := cm.Annotations[digestMark]; ok {
		return
	}
	metav1.SetMetaDataAnnotation(&cm.ObjectMeta, digestMark, "")
	for k, v := range cm.Data {
		cm.Data[k] = digest(v)
	}
}

// digested returns a ConfigMap with digests. One from the cache has them.
func digested(cm *corev1.ConfigMap) *corev1.ConfigMap {
	if _, ok := cm.Annotations[digestMark]; !ok {
		cm = cm.DeepCopy()
		digestConfigMap(cm)
	}
	return cm
}

// digestedContent returns the content of a ConfigMap with digests.
func digestedContent(want map[string]any) map[string]any {
	out := maps.Clone(want)
	if data, ok := want["data"].(map[string]any); ok {
		digests := make(map[string]any, len(data))
		for k, v := range data {
			text, _ := v.(string)
			digests[k] = digest(text)
		}
		out["data"] = digests
	}
	return out
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
