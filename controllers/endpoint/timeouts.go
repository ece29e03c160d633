package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/openapi"
)

// routeFields finds out whether HTTPRoutes have the field timeouts, which came to
// Gateway API's standard channel with v1.2. An API server refuses what its version
// of a kind does not have. It is read off the published schema, which everybody may
// read, because to read CRDs would take a right for the whole cluster. It is for one
// goroutine.
type routeFields struct {
	schemas openapi.ClientWithContext
	read    string // what the answer was read off; its name has a hash of it
	answer  bool
}

// timeouts asks. While nothing is published there are none: the API server is a
// moment late with the schema of a kind that has just come.
func (f *routeFields) timeouts(ctx context.Context) (bool, error) {
	all, err := f.schemas.PathsWithContext(ctx)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("listing published schemas: %w", err)
	}
	gv := httpRouteKind.GroupVersion()
	published, ok := all["apis/"+gv.String()]
	if !ok {
		return false, nil
	}
	if at := published.ServerRelativeURL(); at != f.read {
		data, err := published.SchemaWithContext(ctx, "application/json")
		if err != nil {
			return false, fmt.Errorf("reading the published schema of %s: %w", gv, err)
		}
		if f.answer, err = hasTimeouts(data); err != nil {
			return false, fmt.Errorf("reading the published schema of %s: %w", gv, err)
		}
		f.read = at
	}
	return f.answer, nil
}

// property is a part of a published schema.
type property struct {
	Properties map[string]property       `json:"properties"`
	Items      *property                 `json:"items"`
	Kinds      []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
}

// hasTimeouts looks for spec.rules[].timeouts of HTTPRoute.
func hasTimeouts(data []byte) (bool, error) {
	var document struct {
		Components struct {
			Schemas map[string]property `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return false, err
	}
	for _, s := range document.Components.Schemas {
		if !slices.Contains(s.Kinds, httpRouteKind) {
			continue
		}
		if rules := s.Properties["spec"].Properties["rules"]; rules.Items != nil {
			_, ok := rules.Items.Properties["timeouts"]
			return ok, nil
		}
	}
	return false, nil
}
