package crd

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Version is the version that Load reads from a CRD.
const Version = "v1alpha1"

// Schema checks and defaults the objects of one kind. It may be used from many
// goroutines at once.
type Schema struct {
	structural *structural.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

// files names the file of each kind.
var files = map[string]string{
	"WebhookEndpoint": "fairlead.dev_webhookendpoints.yaml",
	"WebhookProvider": "fairlead.dev_webhookproviders.yaml",
}

// schemas holds what Load returns. They are made when they are first asked for,
// and of embedded files, so that they never change.
var schemas = map[string]func() (*Schema, error){
	"WebhookEndpoint": sync.OnceValues(func() (*Schema, error) { return load("WebhookEndpoint") }),
	"WebhookProvider": sync.OnceValues(func() (*Schema, error) { return load("WebhookProvider") }),
}

// Definition returns the CRD of a kind.
func Definition(kind string) (*apiextensionsv1.CustomResourceDefinition, error) {
	data, err := Files.ReadFile(files[kind])
	if err != nil {
		return nil, fmt.Errorf("reading CRD of kind %q: %w", kind, err)
	}
	var d apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &d); err != nil {
		return nil, fmt.Errorf("decoding CRD of kind %q: %w", kind, err)
	}
	return &d, nil
}

// Load returns the schema of a kind. The first call for a kind compiles its CEL
// rules, which takes some milliseconds: load only the kinds that are needed.
func Load(kind string) (*Schema, error) {
	of, ok := schemas[kind]
	if !ok {
		return nil, fmt.Errorf("no CRD for kind %q", kind)
	}
	return of()
}

func load(kind string) (*Schema, error) {
	d, err := Definition(kind)
	if err != nil {
		return nil, err
	}
	for i := range d.Spec.Versions {
		if v := &d.Spec.Versions[i]; v.Name == Version && v.Schema != nil {
			s, err := compile(v.Schema.OpenAPIV3Schema)
			if err != nil {
				return nil, fmt.Errorf("compiling CRD of kind %q: %w", kind, err)
			}
			return s, nil
		}
	}
	return nil, fmt.Errorf("CRD of kind %q has no version %s", kind, Version)
}

func compile(v1 *apiextensionsv1.JSONSchemaProps) (*Schema, error) {
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v1, &props, nil); err != nil {
		return nil, fmt.Errorf("converting schema: %w", err)
	}
	st, err := structural.NewStructural(&props)
	if err != nil {
		return nil, fmt.Errorf("reading structural schema: %w", err)
	}
	values, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return nil, fmt.Errorf("reading schema: %w", err)
	}
	rules := cel.NewValidator(st, true, celconfig.PerCallLimit)
	return &Schema{structural: st, values: values, rules: rules}, nil
}

// Default fills obj with the CRD's defaults, as the API server does when an
// object is read.
func (s *Schema) Default(obj map[string]any) {
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, s.structural)
	defaulting.Default(obj, s.structural)
}

// Check defaults obj in place and returns what the API server would refuse it
// for, an unknown field included. obj holds what a JSON decoder makes, with
// int64 for whole numbers. Rules are evaluated only if the rest is right enough
// for them, as in the API server.
func (s *Schema) Check(ctx context.Context, obj map[string]any) field.ErrorList {
	return s.check(ctx, obj, nil)
}

// CheckUpdate is Check for an object that takes the place of old, which passed
// Check: rules about changes are evaluated too.
func (s *Schema) CheckUpdate(ctx context.Context, obj, old map[string]any) field.ErrorList {
	return s.check(ctx, obj, old)
}

func (s *Schema) check(ctx context.Context, obj map[string]any, old any) field.ErrorList {
	errs := s.unknown(obj)
	s.Default(obj)
	errs = append(errs, validation.ValidateCustomResource(nil, obj, s.values)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, obj, s.structural, true)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, obj)...)
	if blocked(errs) {
		return errs
	}
	broken, _ := s.rules.Validate(ctx, nil, s.structural, obj, old, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// unknown lists the fields that the schema does not have, with their paths. obj
// keeps them: what is refused is not altered.
func (s *Schema) unknown(obj map[string]any) field.ErrorList {
	paths := pruning.PruneWithOptions(runtime.DeepCopyJSON(obj), s.structural, true,
		structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	_, _, inMeta, _ := objectmeta.GetObjectMetaWithOptions(obj, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	var errs field.ErrorList
	for _, p := range append(paths, inMeta...) {
		errs = append(errs, &field.Error{Type: field.ErrorTypeForbidden, Field: p, Detail: "unknown field"})
	}
	return errs
}

// blocked reports whether errs holds an error that would make rules fail for no
// reason of their own.
func blocked(errs field.ErrorList) bool {
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong,
			field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		default:
		}
	}
	return false
}
