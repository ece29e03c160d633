package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	profiles "github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// acme makes a WebhookProvider.
func acme(t *testing.T) {
	t.Helper()
	p, err := profiles.Get("stream-chat")
	if err != nil {
		t.Fatal(err)
	}
	p.Name = "acme"
	lend(t, p)
}

// TestNamespaces runs an operator for two namespaces that has no ClusterRole at
// all, and then also the one that lets it read WebhookProviders.
func TestNamespaces(t *testing.T) {
	acme(t)
	as := newUser(t, "namespaced")
	shop, forum, other := namespace(t), namespace(t), namespace(t)
	as.grant(t, "", "../config/rbac/leader-election/role.yaml")
	as.grant(t, shop, "../config/namespaced/access/role.yaml")
	as.grant(t, forum, "../config/namespaced/access/role.yaml")
	args := []string{"--namespaces=" + shop + "," + forum, "--metrics-bind-address=0"}

	op := spawn(t, as, args...).ready()
	served := []*v1alpha1.WebhookEndpoint{chat(t, shop, "chat", "stream-chat"), chat(t, forum, "chat", "social-plus")}
	foreign := chat(t, other, "chat", "stream-chat")
	custom := chat(t, shop, "custom", "acme")
	for _, ep := range served {
		reconciled(t, ep)
		if n := len(uids(t, ep)); n < 7 {
			t.Errorf("an endpoint in a namespace that is served has %d objects", n)
		}
	}
	if got := resolved(t, custom, v1alpha1.ReasonProviderUnknown); !strings.Contains(got, "this operator cannot read WebhookProviders") {
		t.Errorf("the endpoint of a WebhookProvider says %q", got)
	}
	if code, _ := op.signal(syscall.SIGTERM); code != 0 {
		t.Errorf("the operator ended with code %d, want 0", code)
	}
	if got := op.log.errors(); len(got) > 0 {
		t.Errorf("the log has errors: %q", got)
	}

	as.grant(t, "", "../config/namespaced/providers/role.yaml")
	op = spawn(t, as, args...).ready()
	resolved(t, custom, v1alpha1.ReasonWebhookProvider)
	if code, _ := op.signal(syscall.SIGTERM); code != 0 {
		t.Errorf("the operator ended with code %d, want 0", code)
	}
	if got := op.log.errors(); len(got) > 0 {
		t.Errorf("the log has errors: %q", got)
	}
	if n := len(uids(t, foreign)); n > 0 || *foreign.Status.ObservedGeneration != -1 {
		t.Errorf("an endpoint in a namespace that is not served has %d objects", n)
	}
}

// TestTelemetry holds who may read what of an operator.
func TestTelemetry(t *testing.T) {
	as := operatorUser(t)
	none, reader := token(t, "none", false), token(t, "reader", true)
	op := spawn(t, as).ready()
	reconciled(t, chat(t, namespace(t), "chat", "stream-chat"))
	metrics := "https://" + op.metrics + "/metrics"
	op.applies(reader) // waits until they are served
	for name, tt := range map[string]struct {
		client     *http.Client
		url, token string
		code       int
	}{
		"alive":           {http.DefaultClient, "http://" + op.probes + "/healthz", "", http.StatusOK},
		"ready":           {http.DefaultClient, "http://" + op.probes + "/readyz", "", http.StatusOK},
		"nobody":          {insecure, metrics, "", http.StatusUnauthorized},
		"a made-up token": {insecure, metrics, "made-up", http.StatusInternalServerError}, // so says the library, where 401 would be right
		"no right":        {insecure, metrics, none, http.StatusForbidden},
		"reader":          {insecure, metrics, reader, http.StatusOK},
		"profiles":        {insecure, "https://" + op.metrics + "/debug/pprof/", reader, http.StatusNotFound}, // it is off
	} {
		t.Run(name, func(t *testing.T) {
			code, body, err := get(t.Context(), tt.client, tt.url, tt.token)
			if err != nil || code != tt.code {
				t.Errorf("the answer is %d, %v; want %d", code, err, tt.code)
			}
			if code != http.StatusOK && strings.Contains(body, "fairlead_operator_") {
				t.Error("metrics are told")
			}
		})
	}
	if code, _, err := get(t.Context(), http.DefaultClient, "http://"+op.metrics+"/metrics", reader); code == http.StatusOK {
		t.Errorf("without TLS the answer is %d, %v", code, err)
	}
	until(t, "the endpoint is counted", func(ctx context.Context) error { // from the cache
		_, body, err := get(ctx, insecure, metrics, reader)
		if err != nil {
			return err
		}
		for _, name := range []string{"fairlead_operator_applies_total", "fairlead_operator_status_writes_total", "fairlead_operator_endpoints"} {
			if !slices.Contains(families(body), name) {
				return fmt.Errorf("%s is not among %q", name, families(body))
			}
		}
		return nil
	})
}

// families returns the names of metrics.
func families(body string) []string {
	var out []string
	for text := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(text, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			out = append(out, name)
		}
	}
	return out
}
