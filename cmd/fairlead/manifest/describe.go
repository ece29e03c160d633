package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// finding is one error of a schema, in words for people.
type finding struct{ field, message string }

// describe puts a schema's errors into words and a fixed order, each once.
// Values are left out, but for the wrong member of an enumeration: a URL or a
// header may hold a secret.
func describe(errs field.ErrorList) []finding {
	var all []finding
	for _, e := range errs {
		path := strings.TrimPrefix(strings.TrimPrefix(e.Field, "<nil>"), ".") // the root has no path
		all = append(all, finding{path, message(e)})
	}
	slices.SortFunc(all, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.field, b.field), cmp.Compare(a.message, b.message))
	})
	return slices.Compact(all)
}

func message(e *field.Error) string {
	detail := strings.TrimPrefix(e.Detail, e.Field+" in body ")
	switch e.Type {
	case field.ErrorTypeRequired:
		return cmp.Or(detail, "it is missing")
	case field.ErrorTypeNotSupported:
		return fmt.Sprintf("%v is not one of the %s", e.BadValue, strings.TrimPrefix(detail, "supported "))
	case field.ErrorTypeDuplicate:
		return "it stands in the list twice"
	default:
		return cmp.Or(detail, e.Type.String())
	}
}
