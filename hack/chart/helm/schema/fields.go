package schema

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Fields returns the description of each field that an object has, by its path,
// where there is one.
func (s *Set) Fields(obj *unstructured.Unstructured) map[string]string {
	found := map[string]string{}
	s.describe(found, "", s.kinds[obj.GroupVersionKind()], obj.Object)
	return found
}

func (s *Set) describe(found map[string]string, path string, kind map[string]any, v any) {
	if name, ok := reference(kind); ok {
		kind = s.definitions[name]
	}
	switch v := v.(type) {
	case map[string]any:
		named, _ := kind["properties"].(map[string]any)
		others, _ := kind["additionalProperties"].(map[string]any)
		for name, child := range v {
			below, known := named[name].(map[string]any)
			if !known {
				below = others
			}
			if text, ok := below["description"].(string); ok {
				found[path+"."+name] = text
			}
			s.describe(found, path+"."+name, below, child)
		}
	case []any:
		items, _ := kind["items"].(map[string]any)
		for i, child := range v {
			s.describe(found, path+"["+strconv.Itoa(i)+"]", items, child)
		}
	}
}
