// Package manifest reads the files that users keep in git, checks them with the
// generated CRDs as the API server does, and then finds what a schema cannot
// see. It is what fairlead validate and fairlead run have in common.
//
// No error and nothing else that comes from here holds a value of a Secret.
package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/config/crd"
)

// defaultNamespace is where an object that names no namespace is.
const defaultNamespace = "default"

// File is what was read, from however many files. Everything in it has passed
// its CRD and holds the CRD's defaults.
type File struct {
	Endpoints []*v1alpha1.WebhookEndpoint
	Providers []*v1alpha1.WebhookProvider
	Secrets   []*corev1.Secret
	// Skipped names the objects of other kinds, which were not looked at.
	Skipped []string

	places map[string]string // where each object stands, by key
}

// Problem is one thing that must be changed in a file.
type Problem struct {
	// Place is the file and the document in it, as in "chat.yaml, document 2".
	Place string
	// Object is the object, as in "WebhookEndpoint chat"; may be empty.
	Object string
	// Field is the path of the field, as in spec.sinks[0].name; may be empty.
	Field string
	// Message says what is wrong, and what to do about it.
	Message string
}

func (p *Problem) Error() string {
	var parts []string
	for _, s := range []string{p.Place, p.Object, p.Field, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems lists the Problems in an error of this package, in their order.
func Problems(err error) []*Problem { return provider.AllOf[*Problem](err) }

// Load reads the objects in files, in directories (their *.yaml, *.yml and
// *.json, no deeper) and, for "-", in stdin. The error joins a Problem for
// everything that is wrong; there is no File then.
func Load(paths []string, stdin io.Reader) (*File, error) {
	f, err := LoadRight(paths, stdin)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// LoadRight is Load for those who go on with what is right: it returns that
// beside the error. There is no File only if a path cannot be read.
func LoadRight(paths []string, stdin io.Reader) (*File, error) {
	sources, err := open(paths, stdin)
	if err != nil {
		return nil, err
	}
	l := &loader{file: &File{places: map[string]string{}}}
	for _, s := range sources {
		l.source(s)
	}
	return l.file, errors.Join(l.problems...)
}

type loader struct {
	file     *File
	problems []error
}

func (l *loader) source(s source) {
	docs, err := split(s.data)
	if err != nil {
		l.problems = append(l.problems, &Problem{Place: s.name, Message: err.Error()})
		return
	}
	for i, doc := range docs {
		place := fmt.Sprintf("%s, document %d", s.name, i+1)
		objects, err := decode(doc)
		if err != nil {
			l.problems = append(l.problems, &Problem{Place: place, Message: err.Error()})
			continue
		}
		for _, obj := range objects {
			l.object(&object{place: place, content: obj})
		}
	}
}

// object puts one object into its list, or says what is wrong with it.
func (l *loader) object(o *object) {
	if err := o.identify(); err != nil {
		l.problems = append(l.problems, err)
		return
	}
	group, _, _ := strings.Cut(o.apiVersion, "/")
	switch {
	case group == v1alpha1.GroupVersion.Group:
		l.ours(o)
	case o.apiVersion == "v1" && o.kind == "Secret":
		if l.unique(o) {
			l.secret(o)
		}
	default:
		l.file.Skipped = append(l.file.Skipped, fmt.Sprintf("%s %s (%s)", o.kind, o.name, o.place))
	}
}

// kinds names the kinds of ours and whether they have a namespace.
func kinds() map[string]bool {
	return map[string]bool{"WebhookEndpoint": true, "WebhookProvider": false}
}

func (l *loader) ours(o *object) {
	namespaced, known := kinds()[o.kind]
	if o.apiVersion != v1alpha1.GroupVersion.String() || !known {
		l.add(o, "", "%s %s is unknown; fairlead knows %s of %s", o.apiVersion, o.kind,
			strings.Join(slices.Sorted(maps.Keys(kinds())), " and "), v1alpha1.GroupVersion)
		return
	}
	if !namespaced && o.namespace != "" {
		l.add(o, "metadata.namespace", "a %s has no namespace; leave it out", o.kind)
		return
	}
	if !l.unique(o) {
		return
	}
	if namespaced {
		o.setNamespace(cmp.Or(o.namespace, defaultNamespace))
	}
	if !l.check(o) {
		return
	}
	var err error
	switch o.kind {
	case "WebhookEndpoint":
		l.file.Endpoints, err = convert(l.file.Endpoints, o.content)
	case "WebhookProvider":
		l.file.Providers, err = convert(l.file.Providers, o.content)
	}
	if err != nil {
		l.add(o, "", "%v", err)
	}
}

// convert appends the object that content holds to list.
func convert[T any](list []*T, content map[string]any) ([]*T, error) {
	obj := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, obj); err != nil {
		return list, fmt.Errorf("converting object: %w", err)
	}
	return append(list, obj), nil
}

// check holds o against its CRD, which also fills in the defaults. The status is
// dropped: it is not the author's to write.
func (l *loader) check(o *object) bool {
	schema, err := crd.Load(o.kind)
	if err != nil {
		l.problems = append(l.problems, err)
		return false
	}
	delete(o.content, "status")
	found := describe(schema.Check(context.Background(), o.content))
	for _, f := range found {
		l.add(o, f.field, "%s", f.message)
	}
	return len(found) == 0
}

func (l *loader) unique(o *object) bool {
	k := key(o.kind, o.namespace, o.name)
	if first, dup := l.file.places[k]; dup {
		l.add(o, "", "it stands in %s already; keep one of the two", first)
		return false
	}
	l.file.places[k] = o.place
	return true
}

// key tells objects apart. No namespace means the default one.
func key(kind, namespace, name string) string {
	return strings.Join([]string{kind, cmp.Or(namespace, defaultNamespace), name}, "/")
}

func (l *loader) add(o *object, field, format string, args ...any) {
	l.problems = append(l.problems, o.problem(field, format, args...))
}
