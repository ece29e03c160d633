package gitops

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the health check into argocd-cm.yaml")

const (
	script       = "../../config/gitops/argocd/health.lua"
	argoCM       = "../../config/gitops/argocd/argocd-cm.yaml"
	endpointsDir = "../../controllers/endpoint/testdata/status"
	providersDir = "../../controllers/provider/testdata/status"
)

// Argo CD's words for health, of those that a check may return.
const (
	healthy     = "Healthy"
	progressing = "Progressing"
	degraded    = "Degraded"
	suspended   = "Suspended"
)

// health runs the check as Argo CD does: obj is the object, and the result is what
// it returns. It gets less than there: none of Lua's libraries but the basic one.
func health(t *testing.T, object map[string]any) (status, message string) {
	t.Helper()
	source, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	l.SetContext(t.Context())
	if err := l.CallByParam(lua.P{Fn: l.NewFunction(lua.OpenBase), Protect: true}, lua.LString(lua.BaseLibName)); err != nil {
		t.Fatal(err)
	}
	l.SetGlobal("obj", value(l, object))
	if err := l.DoString(string(source)); err != nil {
		t.Fatalf("the check fails: %v", err)
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the check returns a %s", l.Get(-1).Type())
	}
	return lua.LVAsString(result.RawGetString("status")), lua.LVAsString(result.RawGetString("message"))
}

// value makes of a value of JSON one of Lua.
func value(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	case []any:
		out := l.NewTable()
		for _, e := range v {
			out.Append(value(l, e))
		}
		return out
	case map[string]any:
		out := l.NewTable()
		for k, e := range v {
			out.RawSetString(k, value(l, e))
		}
		return out
	}
	return lua.LNil
}

func read(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := yaml.Unmarshal(data, &out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return out
}

// TestHealth is the table of what Argo CD says of every state. The statuses are
// those that the operator wrote in its own tests.
func TestHealth(t *testing.T) {
	for dir, states := range map[string]map[string]struct{ want, says string }{
		endpointsDir: {
			"new":                  {progressing, "No operator has seen this generation yet"},
			"reconciling":          {progressing, "None of 2 receivers is ready yet"},
			"ready":                {healthy, "Receivers are available and exposed as specified"},
			"stalled":              {degraded, `has no region "atlantis"; choose from`},
			"stalled-suspended":    {degraded, `has no region "atlantis"; choose from`}, // a person must act all the same
			"provider-unknown":     {degraded, `There is no provider "nobody"; choose from`},
			"intake-suspended":     {suspended, "Intake is suspended, as spec.suspend says"},
			"deliveries-suspended": {suspended, "Deliveries are suspended, as spec.suspend says"},
			"unseen-change":        {progressing, "No operator has seen this generation yet"},
			"terminating":          {progressing, "It is being deleted"},
		},
		providersDir: {
			"new":         {progressing, "No operator has seen this generation yet"},
			"ready":       {healthy, "Profile can be used"},
			"invalid":     {degraded, "Profile cannot be used. Mend spec.provenance.checked"},
			"unseen":      {progressing, "No operator has seen this generation yet"},
			"terminating": {progressing, "It is being deleted"},
		},
	} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil || len(files) != len(states) {
			t.Errorf("%s has %d states, and %d of them are tried: %v", dir, len(files), len(states), err)
		}
		for state, tt := range states {
			got, message := health(t, read(t, filepath.Join(dir, state+".yaml")))
			if got != tt.want || !strings.Contains(message, tt.says) {
				t.Errorf("%s %s: health is %s: %s; want %s: %s", filepath.Base(filepath.Dir(filepath.Dir(dir))), state, got, message, tt.want, tt.says)
			}
		}
	}
}

// TestHealthOfOddObjects holds what is made of states in which no operator leaves
// an object.
func TestHealthOfOddObjects(t *testing.T) {
	condition := func(kind, status string) any {
		return map[string]any{"type": kind, "status": status, "message": kind + " is " + status}
	}
	object := func(spec map[string]any, conditions ...any) map[string]any {
		return map[string]any{"metadata": map[string]any{"generation": 2.0}, "spec": spec,
			"status": map[string]any{"observedGeneration": 2.0, "conditions": conditions}}
	}
	deliveries := map[string]any{"suspend": "Deliveries"}
	for name, tt := range map[string]struct {
		object map[string]any
		want   string
	}{
		"nothing":                     {map[string]any{}, progressing},
		"no status":                   {map[string]any{"metadata": map[string]any{"generation": 1.0}}, progressing},
		"no conditions":               {object(nil), progressing},
		"conditions that are no list": {map[string]any{"status": map[string]any{"observedGeneration": 1.0, "conditions": "none"}}, progressing},
		"condition without a type":    {object(nil, map[string]any{"status": "True"}, "odd"), progressing},
		"ready unknown":               {object(nil, condition("Ready", "Unknown")), progressing},
		"not ready, and no more said": {object(nil, condition("Ready", "False")), degraded},
		"stalled before all else":     {object(deliveries, condition("Ready", "True"), condition("Reconciling", "True"), condition("Stalled", "True")), degraded},
		"stalled no more":             {object(nil, condition("Stalled", "False"), condition("Ready", "True")), healthy},
		"under way, though suspended": {object(deliveries, condition("Reconciling", "True"), condition("Ready", "False")), progressing},
		"suspended":                   {object(deliveries, condition("Ready", "True")), suspended},
		"suspended, not ready":        {object(deliveries, condition("Ready", "False")), degraded},
		"not suspended":               {object(map[string]any{"suspend": "None"}, condition("Ready", "True")), healthy},
	} {
		if got, message := health(t, tt.object); got != tt.want {
			t.Errorf("%s: health is %s: %s; want %s", name, got, message, tt.want)
		}
	}
}

// TestArgoConfigMap holds that the ConfigMap to merge has the very check that is
// tested here, for both kinds and for nothing else.
func TestArgoConfigMap(t *testing.T) {
	source, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		rewrite(t, string(source))
	}
	data, _ := read(t, argoCM)["data"].(map[string]any)
	for _, kind := range []string{"WebhookEndpoint", "WebhookProvider"} {
		if data["resource.customizations.health.fairlead.dev_"+kind] != string(source) {
			t.Errorf("the check for %s is not that of health.lua; run this test with -update", kind)
		}
	}
	if len(data) != 2 {
		t.Errorf("there are %d entries, want 2", len(data))
	}
}

// rewrite puts the check into the ConfigMap, and leaves what stands above.
func rewrite(t *testing.T, source string) {
	t.Helper()
	text, err := os.ReadFile(argoCM)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "\ndata:\n")
	if !ok {
		t.Fatal("the ConfigMap has no data")
	}
	var b strings.Builder
	b.WriteString(head + "\ndata:\n")
	for _, kind := range []string{"WebhookEndpoint", "WebhookProvider"} {
		b.WriteString("  resource.customizations.health.fairlead.dev_" + kind + ": |\n")
		for line := range strings.Lines(source) {
			if line != "\n" {
				line = "    " + line
			}
			b.WriteString(line)
		}
	}
	if err := os.WriteFile(argoCM, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
