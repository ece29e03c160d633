package endpoint_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/hack/readme"
)

// mistake is one of config/TROUBLESHOOTING.md, by how its section begins.
type mistake struct {
	section string
	spec    func(*v1alpha1.WebhookEndpoint)
	says    func(*statusz.Endpoint)
	tls     *statusz.TLS
}

func mistakes(now time.Time) []mistake {
	secret := func(edit func(*statusz.Secret)) func(*statusz.Endpoint) {
		return func(p *statusz.Endpoint) { edit(&p.Secret) }
	}
	problem := func(text string) func(*statusz.Endpoint) {
		return secret(func(s *statusz.Secret) { s.Problems = map[string]string{"a1b23cdefgh4": text} })
	}
	refused := func(r statusz.Refused) func(*statusz.Endpoint) {
		return secret(func(s *statusz.Secret) { s.Refused = &r })
	}
	from := func(finding string, addresses ...string) func(*statusz.Endpoint) {
		return func(p *statusz.Endpoint) {
			p.Sources = statusz.Sources{Finding: finding, Via: statusz.SourceViaPeer, Addresses: addresses, LastUnlistedValid: &now}
		}
	}
	exposed := func(e v1alpha1.Exposure) func(*v1alpha1.WebhookEndpoint) {
		return func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Exposure = &e }
	}
	responder := func(timeout v1alpha1.Duration) func(*v1alpha1.WebhookEndpoint) {
		return func(ep *v1alpha1.WebhookEndpoint) {
			ep.Spec.Responders = []v1alpha1.Responder{{Hook: "before-message-send", HTTP: &v1alpha1.HTTPSink{URL: "http://moderator"}, Timeout: timeout, OnFailure: v1alpha1.FailureAllow}}
		}
	}
	served := exposed(v1alpha1.Exposure{TLS: &v1alpha1.ExposureTLS{SecretName: "cert"}})
	return []mistake{
		{section: "1.", says: problem("it begins or ends with white space, which counts as a part of it")},
		{section: "1.", says: problem("it stands between quotation marks, which count as a part of it")},
		{section: "2.", says: secret(func(s *statusz.Secret) { s.Entries = nil })},
		{section: "2.", says: secret(func(s *statusz.Secret) { s.Entries, s.Missing = nil, []string{"current"} })},
		{section: "2.", says: refused(statusz.Refused{Wrong: 1})},
		{section: "2.", says: refused(statusz.Refused{Unsigned: 1})},
		{section: "3.", says: from(statusz.SourcePod, "10.244.1.7")},
		{section: "3.", says: from(statusz.SourceNode, "10.0.0.7")},
		{section: "4.", spec: func(ep *v1alpha1.WebhookEndpoint) { ep.Spec.Regions = []string{"us-east"} }, says: from(statusz.SourceSingle, "65.1.48.87")},
		{section: "4.", says: from(statusz.SourcePreserved, "198.51.100.7", "198.51.100.8")},
		{section: "5.", says: func(p *statusz.Endpoint) {
			p.Sources = statusz.Sources{Mode: "Enforce", Finding: statusz.SourceNoTraffic, Via: statusz.SourceViaPeer, Unlisted: 1}
		}},
		{section: "6.", spec: served, tls: &statusz.TLS{Error: "the TLS directory has no tls.crt or no tls.key"}},
		{section: "6.", spec: served, tls: &statusz.TLS{NotAfter: ptr.To(now.Add(time.Hour))}},
		{section: "8.", spec: responder("1s"), says: func(p *statusz.Endpoint) {
			p.Responders = []statusz.Responder{{Name: "before-message-send", Hook: "before-message-send", State: "failing", Reason: "responder did not answer in time"}}
		}},
		{section: "8.", spec: responder("2s")},
		{section: "9.", spec: exposed(v1alpha1.Exposure{Type: v1alpha1.ExposureLoadBalancer})},
		{section: "9.", spec: exposed(v1alpha1.Exposure{Type: v1alpha1.ExposureIngress, Host: "hooks.example.com"})},
		{section: "10.", says: refused(statusz.Refused{Wrong: 1})},
	}
}

// TestTroubleshooting makes the mistakes of config/TROUBLESHOOTING.md and holds that
// the conditions that the page quotes are those that are then set.
func TestTroubleshooting(t *testing.T) {
	quotes := conditionsOf(t)
	op := start(t)
	all := mistakes(op.clock.Now())
	made := make([]*v1alpha1.WebhookEndpoint, len(all))
	for i, m := range all {
		made[i] = chat(namespace(t), func(ep *v1alpha1.WebhookEndpoint) {
			if m.spec != nil {
				m.spec(ep)
			}
		})
		create(t, made[i])
	}
	for i, m := range all {
		if m.section != "8." || m.says != nil { // one that is refused has no workload
			rollOut(t, made[i])
		}
		if m.says == nil {
			m.says = fine
		}
		ip := fmt.Sprintf("10.9.0.%d", i+1)
		op.pods.serves(ip, m.tls)
		op.pod(t, made[i], "one", ip, m.says)
	}
	for i, m := range all {
		ep := made[i]
		until(t, fmt.Sprintf("mistake %d, of section %s, is told as the page says", i, m.section), func(ctx context.Context) error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(ep), ep); err != nil {
				return err
			}
			for q := range quotes {
				if q.section == m.section && told(ep, q.text) {
					quotes[q] = true
					return nil
				}
			}
			return fmt.Errorf("it is %+v", ep.Status)
		})
	}
	for q, seen := range quotes {
		if !seen {
			t.Errorf("section %s quotes %q, and no mistake leads to it", q.section, q.text)
		}
	}
}

// quote is a condition that the page quotes.
type quote struct{ section, text string }

func conditionsOf(t *testing.T) map[quote]bool {
	t.Helper()
	blocks, err := readme.ReadBlocks("../..", "config/TROUBLESHOOTING.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[quote]bool{}
	for _, b := range blocks {
		section, _, _ := strings.Cut(b.Section, " ")
		for _, line := range b.Lines {
			if text, is := strings.CutPrefix(line, "condition "); is && b.Language == "text" {
				all[quote{section, strings.TrimSpace(text)}] = false
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("the page quotes %d conditions; it was read wrongly", len(all))
	}
	return all
}

// told reports whether a condition begins as a text says: type, status, reason and
// message.
func told(ep *v1alpha1.WebhookEndpoint, text string) bool {
	if ep.Status == nil {
		return false
	}
	for _, c := range ep.Status.Conditions {
		if strings.HasPrefix(fmt.Sprintf("%s %s %s: %s", c.Type, c.Status, c.Reason, c.Message), text) {
			return true
		}
	}
	return false
}
