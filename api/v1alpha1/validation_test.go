package v1alpha1_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/config/crd"
)

// TestDefinitions holds the CRDs to the API server's own checks: that schemas are
// structural, defaults are valid, and rules compile and stay within their cost.
func TestDefinitions(t *testing.T) {
	files, err := fs.Glob(crd.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("config/crd holds %q, want a file for each kind", files)
	}
	for _, kind := range []string{endpointKind, providerKind} {
		d, err := crd.Definition(kind)
		if err != nil {
			t.Fatal(err)
		}
		apiextensionsv1.SetDefaults_CustomResourceDefinition(d)
		apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&d.Spec)
		d.Status.StoredVersions = []string{v1alpha1.GroupVersion.Version}
		var internal apiextensions.CustomResourceDefinition
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d, &internal, nil); err != nil {
			t.Fatal(err)
		}
		for _, e := range validation.ValidateCustomResourceDefinition(context.Background(), &internal) {
			t.Errorf("%s: %v", kind, e)
		}
	}
}

func TestEndpointRules(t *testing.T) {
	const sink = "spec.sinks[0]"
	const isDuration = "should match"
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: "metadata.name", good: []string{"a", long(40), "a-1"}, bad: []string{long(41), "1a", "a-", "a.b"},
			want: "metadata.name must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit"},
		{path: "spec.provider", good: []string{"a", "acme-2", long(63)}, bad: []string{"A", "a.b", "-a"}, want: "should match"},
		{path: "spec.provider", bad: []string{long(64)}, want: "may not be more than 63"},
		{path: "spec.provider", bad: []string{""}, want: "Required"},
		{path: "spec.secretRef", bad: []string{""}, want: "Required"},
		{path: "spec.secretRef.name", good: []string{"a.b"}, bad: []string{"A", "../a"}, want: "should match"},
		{path: "spec.secretRef.keys", good: []string{"[a]", "[A_b.c-1]", "[.a]", many(16, "k#")}, bad: []string{"['.']", "['..']", "['..data']", "[a/b]"}, want: "should match"},
		{path: "spec.secretRef.keys", bad: []string{many(17, "k#")}, want: "must have at most 16 items"},
		{path: "spec.secretRef.keys", bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: "spec.secretRef.keys", bad: []string{"[a, a]"}, want: "Duplicate value"},
		{path: "spec.regions", good: []string{many(32, "r#")}, bad: []string{many(33, "r#")}, want: "must have at most 32 items"},
		{path: "spec.regions", bad: []string{"[a, a]"}, want: "Duplicate value"},
		{path: "spec.sources.mode", good: []string{"Enforce", "Observe"}, bad: []string{"Audit"}, want: "Unsupported value"},
		{path: "spec.sources.additionalRanges", good: []string{"[203.0.113.7/32]", "['2001:db8::/32']", "[128.0.0.0/1]"},
			bad: []string{"[203.0.113.7]", "[203.0.113.7/33]", "[example.com/8]", "['::ffff:203.0.113.7/128']"}, want: "must be a CIDR such as 203.0.113.7/32 or 2001:db8::/32"},
		{path: "spec.sources.additionalRanges", bad: []string{"[0.0.0.0/0]", "['::/0']"}, want: "to let everybody in, set spec.sources.mode to Observe"},
		{path: "spec.sources.additionalRanges", good: []string{many(128, "10.0.0.#/32")}, bad: []string{many(129, "10.0.0.#/32")}, want: "must have at most 128 items"},
		{path: "spec.sources.trustedProxies", good: []string{many(64, "10.0.0.#/32")}, bad: []string{many(65, "10.0.0.#/32")}, want: "must have at most 64 items"},
		{path: "spec.sources.trustedProxies", bad: []string{"[10.0.0.1]"}, want: "must be a CIDR"},
		{path: "spec.sinks", bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: "spec.sinks", good: []string{many(16, "{name: s#, stdout: {}}")}, bad: []string{many(17, "{name: s#, stdout: {}}")}, want: "must have at most 16 items"},
		{path: "spec.sinks", bad: []string{"[{name: a, stdout: {}}, {name: a, stdout: {}}]"}, want: "Duplicate value"},
		{path: "spec.sinks", bad: []string{"[{name: a}]", "[{name: a, stdout: {}, http: {url: 'http://a'}}]"}, want: "exactly one of the fields in [http stdout] must be set"},
		{path: sink + ".name", bad: []string{"A", "a_b"}, want: "should match"},
		{path: sink + ".hooks", good: []string{"[push]", many(16, "h#")}, bad: []string{many(17, "h#")}, want: "must have at most 16 items"},
		{path: sink + ".types", good: []string{"['message.*']", many(64, "t#")}, bad: []string{many(65, "t#")}, want: "must have at most 64 items"},
		{path: sink + ".types", bad: []string{"[" + long(257) + "]"}, want: "may not be more than 256"},
		{path: sink + ".http.url", good: []string{"https://app/x?y=z", "'http://[2001:db8::1]:80/a@b'", "'http://app/?mail=a@b'"},
			bad: []string{"ftp://app/hooks", "/hooks/of/app", "app.shop.svc", "'http:///hooks'"}, want: "must be an absolute http:// or https:// URL"},
		{path: sink + ".http.url", bad: []string{"'http://user:word@app/'", "'https://user@app'"}, want: "must not hold a user name or password"},
		{path: sink + ".http.url", bad: []string{"'http://" + long(2048) + "'"}, want: "may not be more than 2048"},
		{path: sink + ".http.headers", good: []string{"[{name: X-Team, value: a}]", "[{name: Authorization, valueFrom: {secretKeyRef: {name: a, key: b}}}]", many(16, "{name: X-#, value: a}")},
			bad: []string{"[{name: X-A}]", "[{name: X-A, value: a, valueFrom: {secretKeyRef: {name: a, key: b}}}]"}, want: "exactly one of the fields in [value valueFrom] must be set"},
		{path: sink + ".http.headers", bad: []string{many(17, "{name: X-#, value: a}")}, want: "must have at most 16 items"},
		{path: sink + ".http.headers", bad: []string{"[{name: Host, value: a}]", "[{name: CE-id, value: a}]", "[{name: X-Forwarded-For, value: a}]", "[{name: content-type, value: a}]"},
			want: "this header is set by the receiver or belongs to the connection; use another name"},
		{path: sink + ".http.headers", bad: []string{"[{name: 'a b', value: a}]"}, want: "should match"},
		{path: sink + ".http.headers", bad: []string{"[{name: X-A, value: \"a\\nb\"}]"}, want: "should match"},
		{path: sink + ".http.headers", bad: []string{"[{name: X-A, valueFrom: {secretKeyRef: {name: a, key: ..}}}]"}, want: "should match"},
		{path: sink + ".http.caSecretRef", good: []string{"{name: a, key: ca.crt}"}, bad: []string{"{name: a}"}, want: "Required"},
		{path: sink + ".delivery.maxAttempts", good: []string{"1", "1000"}, bad: []string{"0", "1001"}, want: "should be"},
		{path: sink + ".delivery.concurrency", good: []string{"1", "256"}, bad: []string{"0", "257"}, want: "should be"},
		{path: sink + ".delivery.minBackoff", good: []string{"1ms", "1h", "59m59s999ms"}, bad: []string{"0s", "61m"}, want: "must be from 1ms to 1h",
			with: []string{sink + ".delivery.maxBackoff=24h"}},
		{path: sink + ".delivery.maxBackoff", good: []string{"1s", "24h"}, bad: []string{"25h"}, want: "must be from 1ms to 24h"},
		{path: sink + ".delivery.maxBackoff", bad: []string{"999ms"}, want: "minBackoff must not be longer than maxBackoff; lower minBackoff or raise maxBackoff"},
		{path: sink + ".delivery.maxAge", good: []string{"1s", "720h"}, bad: []string{"999ms", "721h"}, want: "must be from 1s to 720h"},
		{path: sink + ".delivery.timeout", good: []string{"10ms", "5m"}, bad: []string{"9ms", "301s"}, want: "must be from 10ms to 5m"},
		{path: sink + ".delivery.timeout", bad: []string{"1.5s", "'10'", "-1s", "1d"}, want: isDuration},
		{path: sink + ".delivery.ordering", good: []string{"None", "BySubject"}, bad: []string{"Strict"}, want: "Unsupported value",
			with: []string{"spec.receiver.replicas=1"}},
		{path: sink + ".whenFull", good: []string{"Reject", "DropOldest"}, bad: []string{"Drop"}, want: "Unsupported value"},
		{path: sink + ".filter", good: []string{"'data.n > 1'", long(2048)}, bad: []string{long(2049)}, want: "may not be more than 2048"},
		{path: sink + ".filter", bad: []string{"''"}, want: "should be at least 1 chars long"},
		{path: "spec.queue.type", good: []string{"Ephemeral", "Persistent"}, bad: []string{"Memory"}, want: "Unsupported value"},
		{path: "spec.queue.capacity", good: []string{"1Mi", "1048576", "10Gi"}, bad: []string{"1023Ki", "0", "-1Gi"}, want: "capacity must be at least 1Mi"},
		{path: "spec.queue.capacity", bad: []string{"lots"}, want: "should match"},
		{path: "spec.queue.retention", good: []string{"0s", "720h"}, bad: []string{"721h"}, want: "must be at most 720h"},
		{path: "spec.queue.deadLetters.capacity", good: []string{"1Mi"}, bad: []string{"1"}, want: "deadLetters.capacity must be at least 1Mi"},
		{path: "spec.queue.deadLetters.whenFull", good: []string{"Reject", "DropOldest"}, bad: []string{"Drop"}, want: "Unsupported value"},
		{path: "spec.queue.quarantine", good: []string{"{}", "{maxRequests: 1, capacity: 1Mi, maxAge: 1m}", "{maxRequests: 100000, capacity: 1Gi, maxAge: 720h}"}},
		{path: "spec.queue.quarantine.maxRequests", bad: []string{"0", "100001"}, want: "should be"},
		{path: "spec.queue.quarantine.capacity", bad: []string{"1023Ki", "1025Mi"}, want: "quarantine.capacity must be from 1Mi to 1Gi"},
		{path: "spec.queue.quarantine.maxAge", bad: []string{"59s", "721h"}, want: "must be from 1m to 720h"},
		{path: "spec.queue.reclaim", good: []string{"Retain", "Delete"}, bad: []string{"Keep"}, want: "Unsupported value"},
		{path: "spec.exposure.host", good: []string{"hooks.example.com", "a"}, bad: []string{"Hooks.example.com", "a..b", "a:443"}, want: "should match"},
		{path: "spec.exposure.path", good: []string{"/", "/a", "/a/b.c~d"}, bad: []string{"a", "/a/", "//", "/a b", "/a?b"}, want: "should match"},
		{path: "spec.exposure.path", bad: []string{"/..", "/a/../b", "/./a"}, want: "path must not have a segment '.' or '..'; write the path as clients send it"},
		{path: "spec.exposure.path", bad: []string{"/.well-known/fairlead", "/.well-known/fairlead/x"}, want: "paths below /.well-known/fairlead are the receiver's own; choose another"},
		{path: "spec.limits.maxBodyBytes", good: []string{"1Ki", "64Mi", "1000000"}, bad: []string{"1023", "65Mi"}, want: "maxBodyBytes must be from 1Ki to 64Mi"},
		{path: "spec.limits.requestsPerSecond", good: []string{"1", "1000000"}, bad: []string{"0", "1000001"}, want: "should be"},
		{path: "spec.limits.maxConnections", good: []string{"64", "1000000"}, bad: []string{"63", "1000001", "0"}, want: "should be"},
		{path: "spec.limits.maxRequestsInFlight", good: []string{"16", "100000"}, bad: []string{"15", "100001", "0"}, want: "should be"},
		{path: "spec.limits.requestsPerSecondPerSource", good: []string{"1", "1000000"}, bad: []string{"0", "1000001"}, want: "should be"},
		{path: "spec.receiver.drain.delay", good: []string{"0s", "5m"}, bad: []string{"301s"}, want: "must be at most 5m"},
		{path: "spec.receiver.drain.grace", good: []string{"0s", "1h"}, bad: []string{"61m"}, want: "must be at most 1h"},
		{path: "spec.suspend", good: []string{"None", "Deliveries", "Intake"}, bad: []string{"All"}, want: "Unsupported value"},
		{path: "spec.filter", bad: []string{"x"}, want: "unknown field"},
		{path: "metadata.nmae", bad: []string{"x"}, want: "unknown field"},
	})
}

// TestResponderRules holds that a synchronous hook has exactly one responder to
// ask when no filter matches, and names to tell its responders apart.
func TestResponderRules(t *testing.T) {
	const list, one = "spec.responders", "spec.responders[0]"
	const fields = "http: {url: 'http://a'}, onFailure: Deny"
	with := []string{list + "=[{hook: check, " + fields + "}]"}
	of := func(some ...string) string {
		return "[{" + strings.Join(some, ", "+fields+"}, {") + ", " + fields + "}]"
	}
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: list, good: []string{of("hook: a"), of("hook: a", "hook: b"), of("hook: a, name: x, filter: f", "hook: a"), many(16, "{hook: h#, "+fields+"}")},
			bad: []string{many(17, "{hook: h#, "+fields+"}")}, want: "must have at most 16 items"},
		{path: list, bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: list, bad: []string{of("hook: a, filter: f"), of("hook: a", "hook: b, filter: f"), of("hook: a, name: x", "hook: a, name: z")},
			want: "each hook needs exactly one responder without filter: it is asked when no filter matches"},
		{path: list, good: []string{of("hook: a, name: x", "hook: b, name: x"), of("hook: a, name: x, filter: f", "hook: a, name: z, filter: f", "hook: a")},
			bad: []string{of("hook: a, name: x, filter: f", "hook: a, name: x"), of("hook: a, filter: f", "hook: a")}, want: "responders of one hook need names that differ; set name"},
		{path: one + ".http", with: with, bad: []string{""}, want: "exactly one of the fields in [http] must be set"},
		{path: one + ".http", with: with, good: []string{"{url: 'http://a', caSecretRef: {name: a, key: b}}"}, bad: []string{"{url: ftp://a}"}, want: "must be an absolute http:// or https:// URL"},
		{path: one + ".hook", with: with, bad: []string{"", "''"}, want: "hook"},
		{path: one + ".hook", with: with, good: []string{long(63)}, bad: []string{long(64)}, want: "may not be more than 63"},
		{path: one + ".name", with: with, good: []string{"a", "0-b", long(63)}, bad: []string{"A", "a.b", "a-"}, want: "should match"},
		{path: one + ".name", with: with, bad: []string{long(64)}, want: "may not be more than 63"},
		{path: list, bad: []string{of("hook: a, filter: "+long(2049), "hook: a, name: b")}, want: "may not be more than 2048"},
		{path: one + ".timeout", with: with, good: []string{"10ms", "15s"}, bad: []string{"9ms", "15001ms"}, want: "must be from 10ms to 15s"},
		{path: one + ".timeout", with: with, bad: []string{"1.5s"}, want: "should match"},
		{path: one + ".onFailure", with: with, good: []string{"Allow"}, bad: []string{"Ask"}, want: "Unsupported value"},
		{path: one + ".onFailure", with: with, bad: []string{""}, want: "Required"}, // only the author can know which is worse
		{path: one + ".concurrency", with: with, good: []string{"1", "4096"}, bad: []string{"0", "4097"}, want: "should be"},
	})
}

// TestOrderingRules holds that order is promised only where one queue has all
// events of a subject.
func TestOrderingRules(t *testing.T) {
	const ordered = "spec.sinks[0].delivery.ordering=BySubject"
	const want = "set spec.receiver.replicas to 1 and take out spec.receiver.autoscaling, or set ordering to None"
	testRules(t, endpointKind, minimalEndpoint, []rule{
		{path: "spec.receiver", with: []string{ordered}, good: []string{"{replicas: 1}"},
			bad: []string{"{}", "{replicas: 2}", "{autoscaling: {minReplicas: 1, maxReplicas: 1}, resources: {requests: {cpu: 1}}}"}, want: want},
		{path: "spec.receiver", with: []string{ordered}, bad: []string{""}, want: want},
		{path: "spec.queue.type", with: []string{ordered, "spec.receiver.replicas=1"}, good: []string{"Ephemeral", "Persistent"}},
		{path: "spec.sinks", good: []string{many(16, "{name: s#, stdout: {}, delivery: {ordering: None}}")},
			bad: []string{"[{name: a, stdout: {}}, {name: b, stdout: {}, delivery: {ordering: BySubject}}]"}, want: want},
	})
}

// TestEndpointUpdates holds what cannot be changed.
func TestEndpointUpdates(t *testing.T) {
	changed := object(t, minimalEndpoint)
	set(t, changed, "spec.provider", "social-plus")
	testUpdate(t, endpointKind, object(t, minimalEndpoint), changed, "")
	set(t, changed, "spec.queue.type", "Persistent")
	testUpdate(t, endpointKind, object(t, minimalEndpoint), changed,
		"spec.queue.type cannot change, because what is queued would be lost; make a new endpoint")
}

func TestProviderRules(t *testing.T) {
	const sig, refused = "spec.signatures[0]", "a request that is refused must not be answered with success; use a 4xx status"
	ours := "suspended, overloaded and failed must be answered 503 with retryAfterSeconds"
	testRules(t, providerKind, minimalProvider, []rule{
		{path: "metadata.name", good: []string{"a", "1a", long(63)}, bad: []string{long(64), "a.b", "a-"}, want: "metadata.name must be at most 63 characters"},
		{path: "spec.overridesBuiltIn", good: []string{"true", "false"}, bad: []string{"1"}, want: "must be of type boolean"},
		{path: "spec.provenance.documentation", bad: []string{"http://acme.example.com"}, want: "should match"},
		{path: "spec.provenance.checked", bad: []string{"'22.11.2026'"}, want: "should match"},
		{path: "spec.signatures", bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: "spec.signatures", bad: []string{many(5, "{algorithm: token, header: X-#}")}, want: "must have at most 4 items"},
		{path: sig + ".algorithm", good: []string{"hmac-sha1", "hmac-sha512", "ed25519", "ecdsa-p256-sha256"}, bad: []string{"md5"}, want: "Unsupported value"},
		{path: sig + ".content", bad: []string{""}, want: "content is needed for a signature over bytes; for a signature over the body alone write content: '{body}'"},
		{path: sig + ".algorithm", bad: []string{"token"}, want: "token and basic sign nothing; leave out content and signedAt"},
		{path: sig + ".algorithm", good: []string{"token"}, clear: sig + ".content"},
		{path: sig + ".signedAt", bad: []string{"{header: X-Time}"}, want: "a tolerance on an unsigned timestamp stops nobody"},
		{path: sig + ".signedAt", good: []string{"{jsonPath: $.at}"}}, // the body is signed, so the time in it is
		{path: sig + ".signedAt", good: []string{"{header: X-Time}", "{header: X-Time, past: 1h, future: 0s, unit: ms}"}, with: []string{sig + ".content='{timestamp}{body}'"},
			bad: []string{"{}", "{header: X-Time, key: t}"}, want: "exactly one of the fields in [header key jsonPath] must be set"},
		{path: sig + ".content", bad: []string{"'{timestamp}.{body}'"}, want: "content holds {timestamp}; say with signedAt where it is found"},
		{path: sig + ".content", bad: []string{"'{timestamp}'", "'plain text'"}, want: "content must hold {body}: a signature that does not cover the body proves nothing about it"},
		{path: sig + ".content", bad: []string{"'{id}{body}'"}, want: "content holds {id}; name the header that carries it with idHeader"},
		{path: sig + ".content", good: []string{"'{id}{body}'"}, with: []string{sig + ".idHeader=X-Id"}},
		{path: sig + ".header", good: []string{"Authorization", "authorization"}, bad: []string{"X-Auth"}, with: []string{sig + ".algorithm=basic", sig + ".encoding=text"},
			clear: sig + ".content", want: "basic authentication uses the Authorization header; set header to Authorization"},
		{path: sig + ".encoding", good: []string{"base64"}, bad: []string{"text", ""}, want: "a signature is bytes; set encoding to hex or base64"},
		{path: sig + ".format", good: []string{"{prefix: 'sha256='}", "{keyValues: {key: v1}}", "{versions: {version: v1}}"},
			bad: []string{"{}", "{prefix: a, keyValues: {key: v1}}"}, want: "exactly one of the fields in [prefix keyValues versions] must be set"},
		{path: sig + ".signedBody", good: []string{"Wire", "Inflated"}, bad: []string{"Both"}, want: "Unsupported value"},
		{path: sig + ".secret.encoding", good: []string{"hex"}, bad: []string{"base32"}, want: "Unsupported value"},
		{path: "spec.event.type", bad: []string{"[{}]", "[{header: X-A, value: a}]"}, want: "exactly one of the fields in [header jsonPath value] must be set"},
		{path: "spec.event.type", good: []string{"[{jsonPath: $.a.b_c}, {value: ping}]"}, bad: []string{"[{jsonPath: type}]", "[{jsonPath: '$.a[0]'}]"}, want: "should match"},
		{path: "spec.event.headers", good: []string{"[X-A]"}, bad: []string{"[Cookie]", "[ce-id]", "[X-Forwarded-For]", "[authorization]"},
			want: "credentials, hop-by-hop, forwarding and ce- headers never go to sinks; take them out of event.headers"},
		{path: "spec.event.dedup.key", good: []string{"BodySHA256", "None"}, bad: []string{"Body"}, want: "Unsupported value"},
		{path: "spec.event.dedup.window", good: []string{"1s", "168h"}, bad: []string{"999ms", "169h"}, want: "must be from 1s to 168h"},
		{path: "spec.ignore", good: []string{"[{name: twin, present: [X-Old], absent: [X-New]}]"}, bad: []string{"[{name: twin}]"}, want: "Required"},
		{path: "spec.replies.accepted", good: []string{"{status: 299}"}, bad: []string{"{status: 300}"}, want: "accepted, duplicate and ignored must be answered with a 2xx status"},
		{path: "spec.replies.duplicate", bad: []string{"{status: 409}"}, want: "accepted, duplicate and ignored must be answered with a 2xx status"},
		{path: "spec.replies.ignored", bad: []string{"{status: 404}"}, want: "accepted, duplicate and ignored must be answered with a 2xx status"},
		{path: "spec.replies.suspended", bad: []string{"{status: 503}", "{status: 500, retryAfterSeconds: 1}"}, want: ours},
		{path: "spec.replies.overloaded", bad: []string{"{status: 503}", "{status: 429, retryAfterSeconds: 1}"}, want: ours},
		{path: "spec.replies.failed", bad: []string{"{status: 503}", "{status: 200, retryAfterSeconds: 1}"}, want: ours},
		{path: "spec.replies.unauthenticated", good: []string{"{status: 400}"}, bad: []string{"{status: 200}"}, want: refused},
		{path: "spec.replies.unlisted", bad: []string{"{status: 302}"}, want: refused},
		{path: "spec.replies.tooLarge", bad: []string{"{status: 200}"}, want: refused},
		{path: "spec.replies.malformed", bad: []string{"{status: 200}"}, want: refused},
		{path: "spec.replies.rateLimited", bad: []string{"{status: 200}"}, want: refused},
		{path: "spec.replies.misrouted", bad: []string{"{status: 200}"}, want: refused},
		{path: "spec.replies.misrouted", bad: []string{""}, want: "Required"},
		{path: "spec.replies.accepted", bad: []string{"{status: 199}", "{status: 600}"}, want: "should be"},
		{path: "spec.hooks", good: []string{"[{name: a, mode: Async, paths: [{path: /}]}, {name: b, mode: Sync, paths: [{path: /b}], deadline: 1s, allow: {status: 200}, deny: {status: 200}}]"},
			bad: []string{"[{name: b, mode: Sync, paths: [{path: /b}], deadline: 1s, allow: {status: 200}, deny: {status: 200}}]"}, want: "at least one hook must have mode Async"},
		{path: "spec.hooks", bad: []string{"[{name: b, mode: Sync, paths: [{path: /b}], deadline: 1s, allow: {status: 200}}]"}, want: "a hook of mode Sync needs deadline, allow and deny"},
		{path: "spec.hooks", bad: []string{"[{name: a, mode: Async, paths: [{path: /a/}]}]"}, want: "should match"},
		{path: "spec.regions", bad: []string{"[{name: a, ranges: []}]"}, want: "should have at least 1 items"},
		{path: "spec.regions", bad: []string{"[{name: a, ranges: [{cidr: 0.0.0.0/0}]}]"}, want: "a range of /0 lists every address"},
		{path: "spec.regions", bad: []string{"[{name: a, ranges: [{cidr: 192.0.2.0/24}, {cidr: 192.0.2.0/24}]}]"}, want: "Duplicate value"},
		{path: "spec.regions", good: []string{"[{name: a, ranges: [{cidr: 192.0.2.0/24, validFrom: '2027-01-01T00:00:00Z', validUntil: '2027-01-01T00:00:01Z'}]}]"},
			bad: []string{"[{name: a, ranges: [{cidr: 192.0.2.0/24, validFrom: '2027-01-01T00:00:00Z', validUntil: '2027-01-01T00:00:00Z'}]}]"}, want: "validFrom must be before validUntil"},
		{path: "spec.regions", bad: []string{"[{name: a, ranges: [{cidr: 192.0.2.0/24, validFrom: '2027-01-01'}]}]"}, want: "must be of type date-time"},
		{path: "spec.rules", bad: []string{"x"}, want: "unknown field"},
	})
}

// TestChallengeRules holds that a challenge can be told from other requests, and
// that its answer can be made.
func TestChallengeRules(t *testing.T) {
	const list, one = "spec.challenges", "spec.challenges[0]"
	const byMatch, token, hmac = "match: {jsonPath: $.type, value: ping}", "token: {jsonPath: $.challenge}", "hmac: {algorithm: hmac-sha256, encoding: hex}"
	post := []string{list + "=[{name: a, method: POST, " + byMatch + ", answer: {status: 200}}]"}
	get := []string{list + "=[{name: a, method: GET, answer: {status: 200}}]"}
	whole := []string{list + "=[{name: a, method: POST, " + byMatch + ", " + token + ", " + hmac + ", answer: {status: 200, body: '{token} {hmac}'}}]"}
	testRules(t, providerKind, minimalProvider, []rule{
		{path: list, good: []string{many(8, "{name: c#, method: HEAD, answer: {status: 200}}")}, bad: []string{many(9, "{name: c#, method: HEAD, answer: {status: 200}}")}, want: "must have at most 8 items"},
		{path: list, bad: []string{"[]"}, want: "should have at least 1 items"},
		{path: list, bad: []string{"[{name: a, method: GET, answer: {status: 200}}, {name: a, method: HEAD, answer: {status: 200}}]"}, want: "Duplicate value"},
		{path: list, bad: []string{"[{name: a, method: GET}]", "[{name: a, answer: {status: 200}}]", "[{method: GET, answer: {status: 200}}]"}, want: "Required"},
		{path: one + ".name", with: get, bad: []string{"A", "a_b"}, want: "should match"},
		{path: one + ".method", with: get, good: []string{"HEAD"}, bad: []string{"PUT"}, want: "Unsupported value"},
		{path: one + ".method", with: get, bad: []string{"POST"}, want: "a challenge of method POST is told by match; take query out, or set method to GET"},
		{path: one + ".match", with: get, bad: []string{"{jsonPath: $.a, value: b}"}, want: "a challenge of method POST is told by match"},
		{path: one + ".match", with: post, bad: []string{""}, want: "a challenge of method POST is told by match"},
		{path: one + ".match", with: post, bad: []string{"{jsonPath: $.a}", "{value: a}"}, want: "Required"},
		{path: one + ".match", with: post, bad: []string{"{jsonPath: $.a, value: " + long(257) + "}"}, want: "may not be more than 256"},
		{path: one + ".query", with: post, bad: []string{"crc_token"}, want: "a challenge of method POST is told by match; take query out"},
		{path: one + ".query", with: get, good: []string{"crc_token", "hub.challenge"}, bad: []string{"'a b'", "a%62"}, want: "should match"},
		{path: one + ".token", with: get, good: []string{"{query: crc_token}"}, bad: []string{"{jsonPath: $.a}"}, want: "the token of a POST is found by jsonPath, that of a GET by query"},
		{path: one + ".token", with: post, good: []string{"{jsonPath: $.a}"}, bad: []string{"{query: a}"}, want: "the token of a POST is found by jsonPath, that of a GET by query"},
		{path: one + ".token", with: post, bad: []string{"{}", "{query: a, jsonPath: $.a}"}, want: "exactly one of the fields in [jsonPath query] must be set"},
		{path: one + ".answer", with: whole, good: []string{"{status: 200, body: '{token}'}", "{status: 204}"}},
		{path: one + ".answer", with: post, bad: []string{"{status: 200, body: '{token}'}", "{status: 200, body: '{hmac}'}"}, want: "the answer holds {token} or {hmac}; say with token where the token is found"},
		{path: one + ".hmac", with: whole, bad: []string{""}, want: "the answer holds {hmac}; say with hmac how it is made"},
		{path: one + ".hmac", with: whole, good: []string{"{algorithm: hmac-sha1, encoding: base64}"}, bad: []string{"{algorithm: ed25519, encoding: hex}", "{algorithm: token, encoding: hex}"},
			want: "a token is signed with one of hmac-sha1, hmac-sha256 and hmac-sha512"},
		{path: one + ".hmac", with: whole, bad: []string{"{algorithm: hmac-sha256, encoding: text}"}, want: "a signature is bytes; set encoding to hex or base64"},
	})
}

// TestDefaults holds what an author who leaves all out gets, and that setting the
// defaults again changes nothing: else git would show a drift.
func TestDefaults(t *testing.T) {
	want := object(t, minimalEndpoint+`
    delivery: {maxAttempts: 20, minBackoff: 1s, maxBackoff: 10m, maxAge: 72h, timeout: 10s, concurrency: 16, ordering: None}
    whenFull: Reject
  sources: {mode: Enforce}
  queue: {type: Ephemeral, capacity: 1Gi, retention: 24h, deadLetters: {capacity: 256Mi, whenFull: Reject}, reclaim: Retain}
  exposure: {type: ClusterIP, path: /, proxyProtocol: None}
  limits: {maxBodyBytes: 1Mi, maxConnections: 4096, maxRequestsInFlight: 1024}
  networkPolicy: {enabled: true, egress: Open}
  receiver: {drain: {delay: 5s, grace: 60s}, resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}}
  suspend: None
status: {observedGeneration: -1}
`)
	s := schema(t, endpointKind)
	got := object(t, minimalEndpoint)
	s.Default(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	for kind, minimal := range map[string]string{endpointKind: minimalEndpoint, providerKind: minimalProvider} {
		s := schema(t, kind)
		once := object(t, minimal)
		s.Default(once)
		twice := runtime.DeepCopyJSON(once)
		s.Default(twice)
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("%s: setting defaults again changed (-once +twice):\n%s", kind, diff)
		}
	}
}

// TestRoundTrip holds that the Go types lose nothing that the schema has: an
// operator that writes an object back must not change it.
func TestRoundTrip(t *testing.T) {
	for kind, tt := range map[string]struct {
		minimal string
		into    any
	}{
		endpointKind: {minimalEndpoint, &v1alpha1.WebhookEndpoint{}},
		providerKind: {minimalProvider, &v1alpha1.WebhookProvider{}},
	} {
		obj := object(t, tt.minimal)
		schema(t, kind).Default(obj)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(runtime.DeepCopyJSON(obj), tt.into); err != nil {
			t.Fatal(err)
		}
		back, err := runtime.DefaultUnstructuredConverter.ToUnstructured(tt.into)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(obj, back); diff != "" {
			t.Errorf("%s through its Go type (-before +after):\n%s", kind, diff)
		}
	}
}

// TestProfileDefaults holds that the built-in profiles pass the CRD, and that the
// provider package, which does not know the CRD, sets the same defaults.
func TestProfileDefaults(t *testing.T) {
	manifests := map[string]string{"minimal": minimalProvider, "every form": strings.Replace(minimalProvider, "  signatures:\n", `  signatures:
  - {algorithm: token, header: X-Token}
  - {algorithm: hmac-sha256, header: X-Sig, encoding: hex, content: "{timestamp}{body}", format: {keyValues: {key: v}}, signedAt: {key: t}}
  - {algorithm: hmac-sha256, header: X-Sig, encoding: hex, content: "{body}", format: {versions: {version: v1}}}
`, 1)}
	files, err := filepath.Glob("../provider/profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("the profiles are gone: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		manifests[f] = string(data)
	}
	s := schema(t, providerKind)
	for name, text := range manifests {
		obj := object(t, text)
		if errs := s.Check(context.Background(), obj); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		byPackage := &v1alpha1.WebhookProvider{}
		if err := yaml.UnmarshalStrict([]byte(text), byPackage); err != nil {
			t.Fatal(err)
		}
		provider.SetDefaults(byPackage)
		delete(obj, "status") // where a profile is in use is none of its matters
		if diff := cmp.Diff(obj, content(t, byPackage)); diff != "" {
			t.Errorf("%s: defaults of the CRD and of the provider package (-CRD +package):\n%s", name, diff)
		}
	}
}
