package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// tryCut holds that addresses that are no longer listed are cut off within seconds,
// for whatever reason they are not, and that those that still are stay served.
func tryCut(t *testing.T, r *rig) {
	const ns = "e2e-cut"
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	stays, goes := r.host(t, streamUSEast), r.host(t, streamEUWest)

	chat := key{Namespace: ns, Name: "chat"}
	r.apply(t, signingSecret(ns, streamChat), balanced(chat, streamChat, sink))
	r.balance(t, chat, "192.0.2.13")
	r.ready(t, chat)
	r.step(t, "a region is taken out of spec.regions: its addresses are cut, the others stay", func(t *testing.T, line *row) {
		r.connect(t, chat, "192.0.2.13:80", stays, goes)
		open := goes.client()
		answers(t, open, "192.0.2.13:80", stream("/hooks", message("listed")), http.StatusOK, "")
		r.patch(t, ns, "webhookendpoint/chat", `{"spec":{"regions":["us-east"]}}`)
		began := time.Now()
		line.note("last new connection %s after the change", seconds(r.cut(t, "192.0.2.13:80", stays, goes).Sub(began)))
		r.refused(t, open, "192.0.2.13:80")
		line.note("a connection that was open is answered 403 after %s", seconds(time.Since(began)))
	})
	r.step(t, "and back in: they are let in again", func(t *testing.T, line *row) {
		r.patch(t, ns, "webhookendpoint/chat", `{"spec":{"regions":null}}`)
		line.note("connects after %s", seconds(r.connect(t, chat, "192.0.2.13:80", stays, goes)))
		line.note("is answered 200 after %s", seconds(r.served(t, goes, "192.0.2.13:80")))
	})
	r.step(t, "a provider override without a region's addresses: they are cut, and the status says where the profile comes from", func(t *testing.T, line *row) {
		r.apply(t, provider(streamChat, "overridesBuiltIn: true", streamUSEast+"/32"))
		t.Cleanup(func() { run(t, "", "kubectl", "delete", "webhookprovider", streamChat, "--ignore-not-found") })
		began := time.Now()
		line.note("last new connection %s after the change", seconds(r.cut(t, "192.0.2.13:80", stays, goes).Sub(began)))
		r.becomes(t, chat, v1alpha1.ConditionProviderResolved, metav1.ConditionTrue, v1alpha1.ReasonOverridesBuiltIn)
		r.originIs(t, chat, v1alpha1.ProfileObject)
		r.ready(t, chat)
	})
	r.step(t, "the override is deleted: the built-in profile counts again", func(t *testing.T, line *row) {
		line.note("built-in after %s", seconds(r.originIs(t, chat, v1alpha1.ProfileBuiltIn)))
		line.note("connects after %s", seconds(r.connect(t, chat, "192.0.2.13:80", stays, goes)))
	})
	r.step(t, "a range's validUntil passes: its address is cut without anybody's doing", func(t *testing.T, line *row) {
		moved := key{Namespace: ns, Name: "moved"}
		r.apply(t, provider("moving", "", streamUSEast+"/32", streamEUWest+"/32"), signingSecret(ns, streamChat),
			balanced(moved, "moving", sink))
		t.Cleanup(func() { run(t, "", "kubectl", "delete", "webhookprovider", "moving") })
		r.balance(t, moved, "192.0.2.14")
		r.ready(t, moved)
		r.connect(t, moved, "192.0.2.14:80", stays, goes)
		end := time.Now().Add(15 * time.Second).UTC().Truncate(time.Second)
		r.patch(t, ns, "webhookprovider/moving", fmt.Sprintf(`{"spec":{"regions":[{"name":"all","ranges":[{"cidr":"%s/32"},{"cidr":"%s/32","validUntil":%q}]}]}}`,
			streamUSEast, streamEUWest, end.Format(time.RFC3339)))
		r.announces(t, moved, end)
		if err := goes.connects(t.Context(), "192.0.2.14:80"); err != nil {
			t.Errorf("%s before the end of its range: %v", time.Until(end), err)
		}
		last := r.cut(t, "192.0.2.14:80", stays, goes)
		line.note("last new connection %s after validUntil", seconds(last.Sub(end)))
		if early := end.Sub(last); early > 2*time.Second {
			t.Errorf("it was cut %s before validUntil", early)
		}
	})
}

// balanced is an endpoint behind a load balancer with one sink. Whatever its
// provider, it is signed as Stream signs.
func balanced(k key, provider string, s *sink) string {
	return fmt.Sprintf(`apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata: {name: %s, namespace: %s}
spec:
  provider: %s
  secretRef: {name: %s}
  sinks: [{name: app, http: {url: %s/%s}}]
  exposure: {type: LoadBalancer, path: /hooks}`, k.Name, k.Namespace, provider, streamChat, s.url, k.Name)
}

// provider is a WebhookProvider that signs as Stream does, and sends from ranges.
func provider(name, more string, ranges ...string) string {
	text := fmt.Sprintf(`apiVersion: fairlead.dev/v1alpha1
kind: WebhookProvider
metadata: {name: %s}
spec:
  provenance: {documentation: "https://example.com/webhooks", checked: "2026-11-22"}
  signatures: [{algorithm: hmac-sha256, header: X-Signature, encoding: hex, content: "{body}"}]
  event: {id: [{header: X-Webhook-Id}], type: [{jsonPath: $.type}], typePrefix: com.example., dedup: {key: ID, window: 10m}}
  hooks: [{name: push, mode: Async, paths: [{path: /}]}]
  replies:
    accepted: {status: 200, body: "{}"}
    duplicate: {status: 200, body: "{}"}
    ignored: {status: 200, body: "{}"}
    suspended: {status: 503, body: "{}", retryAfterSeconds: 5}
    unauthenticated: {status: 401, body: "{}"}
    unlisted: {status: 403, body: "{}"}
    tooLarge: {status: 413, body: "{}"}
    malformed: {status: 400, body: "{}"}
    rateLimited: {status: 429, body: "{}", retryAfterSeconds: 1}
    overloaded: {status: 503, body: "{}", retryAfterSeconds: 1}
    failed: {status: 503, body: "{}", retryAfterSeconds: 2}
    misrouted: {status: 404, body: "{}"}
  %s
  regions:
  - name: all
    ranges:`, name, more)
	for _, cidr := range ranges {
		text += "\n    - cidr: " + cidr
	}
	return text
}

// connect waits until all hosts get connections.
func (r *rig) connect(t testing.TB, k key, address string, hosts ...*host) time.Duration {
	t.Helper()
	return eventually(t, soon, "connections to "+k.String(), func(ctx context.Context) error {
		for _, h := range hosts {
			if err := h.connects(ctx, address); err != nil {
				return err
			}
		}
		return nil
	})
}

// errServed means that a host still gets connections.
var errServed = errors.New("it still connects")

// cut waits until goes gets no new connection any more, and returns when it got the
// last. It fails the test if stays is not served all the while.
func (r *rig) cut(t testing.TB, address string, stays, goes *host) (last time.Time) {
	t.Helper()
	last = time.Now()
	c := stays.client()
	eventually(t, soon, "the cut of "+goes.address, func(ctx context.Context) error {
		answers(t, c, address, stream("/hooks", message("listed")), http.StatusOK, "")
		try := time.Now()
		switch err := goes.connects(ctx, address); {
		case errors.Is(err, errCut):
			return nil
		case err != nil:
			return err
		}
		last = try
		return errServed
	})
	answers(t, stays.client(), address, stream("/hooks", message("listed")), http.StatusOK, "")
	return last
}

// refused waits until requests over a connection that stays open are refused.
func (r *rig) refused(t testing.TB, c *http.Client, address string) {
	t.Helper()
	eventually(t, takenUp, "a refusal by the receiver", func(ctx context.Context) error {
		a, err := post(ctx, c, address, stream("/hooks", message("unlisted")))
		if err == nil && a.status != http.StatusForbidden {
			err = fmt.Errorf("%w %d", errStatus, a.status)
		}
		return err
	})
}

// served waits until a host's requests are taken.
func (r *rig) served(t testing.TB, h *host, address string) time.Duration {
	t.Helper()
	c := h.client()
	return eventually(t, takenUp, "requests from "+h.address, func(ctx context.Context) error {
		a, err := post(ctx, c, address, stream("/hooks", message("back")))
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%w %d", errStatus, a.status)
		}
		return err
	})
}

// originIs waits until the status says where the profile comes from.
func (r *rig) originIs(t testing.TB, k key, want v1alpha1.ProfileOrigin) time.Duration {
	t.Helper()
	return eventually(t, soon, "a profile that is "+string(want), func(ctx context.Context) error {
		ep, err := r.endpoint(ctx, k)
		if err == nil && (ep.Status.Profile == nil || ep.Status.Profile.Origin != want) {
			err = fmt.Errorf("it is %v", ep.Status.Profile)
		}
		return err
	})
}

// announces waits until the status says when the ranges change next.
func (r *rig) announces(t testing.TB, k key, want time.Time) {
	t.Helper()
	eventually(t, soon, "nextRangeChange", func(ctx context.Context) error {
		ep, err := r.endpoint(ctx, k)
		if err == nil && (ep.Status.NextRangeChange == nil || !ep.Status.NextRangeChange.Time.Equal(want)) {
			err = fmt.Errorf("it is %v, want %v", ep.Status.NextRangeChange, want)
		}
		return err
	})
}
