package helm

import (
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// oldest has the functions that Kubernetes 1.31 lets a new rule use: those of 1.30,
// so that it could be rolled back to that.
var oldest = environment.MustBaseEnvSet(version.MajorMinor(1, 30))

// TestRulesOfOldest compiles every rule of the CRDs with the functions that the
// oldest supported Kubernetes has. One that it does not know would have it refuse
// the CRD.
func TestRulesOfOldest(t *testing.T) {
	all := render(t, "")
	for _, name := range []string{"webhookendpoints.fairlead.dev", "webhookproviders.fairlead.dev"} {
		crd := as[apiextensionsv1.CustomResourceDefinition](t, all, "CustomResourceDefinition", name)
		for _, v := range crd.Spec.Versions {
			var props apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
				t.Fatal(err)
			}
			s, err := structural.NewStructural(&props)
			if err != nil {
				t.Fatal(err)
			}
			if n := compile(t, oldest, name, s, true); n < 10 {
				t.Errorf("%s: found %d rules", name, n)
			}
		}
	}
}

// TestRuleIsTooNew holds that a function which came later is found.
func TestRuleIsTooNew(t *testing.T) {
	s := &structural.Structural{Generic: structural.Generic{Type: "string"}}
	s.XValidations = apiextensionsv1.ValidationRules{{Rule: `isSemver(self)`}} // of 1.34
	got, err := rules(oldest, s, false)
	if err != nil || len(got) != 1 || got[0].Error == nil {
		t.Errorf("compiling what is too new: %v, %v", got, err)
	}
}

func rules(env *environment.EnvSet, s *structural.Structural, root bool) ([]cel.CompilationResult, error) {
	return cel.Compile(s, model.SchemaDeclType(s, root), celconfig.PerCallLimit, env, cel.NewExpressionsEnvLoader())
}

// compile compiles the rules of s and all below it, and returns how many there are.
func compile(t *testing.T, env *environment.EnvSet, path string, s *structural.Structural, root bool) int {
	t.Helper()
	got, err := rules(env, s, root)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	for i, r := range got {
		if r.Error != nil {
			t.Errorf("%s: %s: %v", path, s.XValidations[i].Rule, r.Error)
		}
		if r.MessageExpressionError != nil {
			t.Errorf("%s: %s: %v", path, s.XValidations[i].MessageExpression, r.MessageExpressionError)
		}
	}
	n := len(got)
	for name, p := range s.Properties {
		n += compile(t, env, path+"."+name, &p, p.XEmbeddedResource)
	}
	if s.Items != nil {
		n += compile(t, env, path+"[]", s.Items, s.Items.XEmbeddedResource)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		n += compile(t, env, path+"{}", s.AdditionalProperties.Structural, false)
	}
	return n
}
