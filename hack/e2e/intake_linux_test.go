package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// arrival is what a sink is to get for an accepted request.
type arrival struct {
	id, kind, subject string // an id of our own making is left out
	data              string
}

// exchange is a request, and what is to become of it. nil arrives means that no sink
// gets anything.
type exchange struct {
	name    string
	request *request
	status  int
	body    string
	arrives *arrival
}

// maxBody is the endpoints' limits.maxBodyBytes.
const maxBody = 64 << 10

// What is answered, by the profiles of both providers.
const (
	taken           = "{}"
	unauthenticated = `{"error":"the signature is missing or wrong"}`
	tooLarge        = `{"error":"the body is too large"}`
	malformed       = `{"error":"the request cannot be read"}`
	misrouted       = `{"error":"this is the wrong path for this kind of webhook; give each hook its own URL"}`
)

// tryIntake holds the replies to a provider, and that what was accepted arrives as it
// was signed, at both sinks, and nothing else.
func tryIntake(t *testing.T, r *rig) {
	const ns = "e2e-intake"
	r.namespace(t, ns)
	sink := r.sink(t, ns, "app")
	for _, p := range []struct {
		provider, from, vip, region string
		exchanges                   []exchange
	}{
		{streamChat, streamUSEast, "192.0.2.11", "us-east", streamExchanges()},
		{socialPlus, socialSingapore, "192.0.2.12", "singapore", socialExchanges()},
	} {
		k := key{Namespace: ns, Name: p.provider}
		r.apply(t, signingSecret(ns, p.provider), manifest(k, p.provider, fmt.Sprintf(`
  regions: [%s]
  sinks:
  - {name: first, http: {url: %s/%s/first}}
  - {name: second, http: {url: %s/%s/second}}
  exposure: {type: LoadBalancer, path: /hooks}
  limits: {maxBodyBytes: 64Ki}
`, p.region, sink.url, p.provider, sink.url, p.provider)))
		r.balance(t, k, p.vip)
		r.ready(t, k)
		c := r.host(t, p.from).client()
		r.step(t, p.provider+": forged, duplicate, oversize, gzip and the rest are answered as the profile says", func(t *testing.T, line *row) {
			for _, e := range p.exchanges {
				a, err := post(t.Context(), c, p.vip+":80", e.request)
				if err != nil {
					t.Errorf("%s: %v", e.name, err)
				} else if a.status != e.status || e.body != "" && a.body != e.body {
					t.Errorf("%s: answered %d %q, want %d %q", e.name, a.status, a.body, e.status, e.body)
				}
			}
			line.note("%d kinds of request", len(p.exchanges))
		})
		r.step(t, p.provider+": what was accepted arrives at both sinks as a CloudEvent, byte-exact and once; nothing else does", func(t *testing.T, line *row) {
			want := expected(p.exchanges)
			for _, name := range []string{"first", "second"} {
				r.arriveAs(t, sink, "/"+p.provider+"/"+name, "/namespaces/"+ns+"/webhookendpoints/"+p.provider, want)
			}
			line.note("%d events", len(want))
		})
	}
}

// expected are the arrivals of all exchanges, in order.
func expected(all []exchange) []string {
	var want []string
	for _, e := range all {
		if e.arrives != nil {
			want = append(want, fmt.Sprintf("%+v", *e.arrives))
		}
	}
	slices.Sort(want)
	return want
}

// arriveAs waits until as many events as wanted have come to a sink's path, and
// compares them.
func (r *rig) arriveAs(t testing.TB, s *sink, path, source string, want []string) {
	t.Helper()
	var events []record.Event
	eventually(t, soon, fmt.Sprintf("%d events at %s", len(want), path), func(ctx context.Context) (err error) {
		if events, err = s.events(ctx, path); err == nil && len(events) < len(want) {
			err = fmt.Errorf("there are %d", len(events))
		}
		return err
	})
	var got []string
	for _, e := range events {
		h := e.Headers
		a := arrival{e.ID, e.Type, h.Get("Ce-Subject"), string(e.Body)}
		if strings.HasPrefix(e.Type, "plus.social.") {
			a.id = "" // the provider has none
		}
		got = append(got, fmt.Sprintf("%+v", a))
		if e.Arrivals != 1 || h.Get("Ce-Source") != source || h.Get("Ce-Specversion") != "1.0" || h.Get("Ce-Time") == "" || e.ID == "" {
			t.Errorf("%s: event %q came %d times with %v", path, e.ID, e.Arrivals, h)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// accept is an exchange that is taken.
func accept(name string, q *request, kind, subject string, data []byte) exchange {
	return exchange{name, q, http.StatusOK, taken, &arrival{q.header.Get("X-Webhook-Id"), kind, subject, string(data)}}
}

// refuse is an exchange of which nothing goes on.
func refuse(name string, q *request, status int, body string) exchange {
	return exchange{name, q, status, body, nil}
}

// big is a signed body above the limit; of all the same letter, it is small when it
// is compressed.
func big() []byte {
	return append(append([]byte(`{"type":"`), bytes.Repeat([]byte("x"), maxBody)...), `"}`...)
}

func streamExchanges() []exchange {
	const path, kind, subject = "/hooks", "io.getstream.message.new", "messaging:fun"
	once, plain, packed, bare := message("once"), message("plain"), message("packed"), message("no header")
	first := stream(path, once)
	again := stream(path, once)
	again.header = first.header.Clone()
	other := stream(path, plain)
	reused := stream(path, message("another event under a used id"))
	reused.header.Set("X-Webhook-Id", other.header.Get("X-Webhook-Id"))
	reusedSum := fmt.Sprintf("%x", sum(reused.body))[:16]
	members, halves := message("halves"), []byte(nil)
	for _, half := range [][]byte{members[:50], members[50:]} {
		halves = append(halves, stream(path, half).zipped().body...)
	}
	two := stream(path, members)
	two.body = halves
	unknown := []byte(`{"type":"feeds.comment.reaction.added","created_at":"2026-11-22T07:54:46Z"}`)
	pending := []byte(`{"message":{"id":"m1"},"metadata":{},"request_info":{"type":"client"}}`)
	asked := []byte(`{"message":{"id":"m1","text":"hi"},"user":{"id":"ada"},"channel":{"cid":"messaging:fun"}}`)
	cut := stream(path, message("cut")).zipped()
	cut.body = cut.body[:len(cut.body)-9]
	trailing := stream(path, message("trailing")).zipped()
	trailing.body = append(trailing.body, "more"...)
	return []exchange{
		accept("a message", first, kind, subject, once),
		refuse("the same again", again, http.StatusOK, taken),
		refuse("the same as a second attempt", again.with("X-Webhook-Attempt", "2"), http.StatusOK, taken),
		accept("another", other, kind, subject, plain),
		{"another body under a used id", reused, http.StatusOK, taken, &arrival{reused.header.Get("X-Webhook-Id") + "~" + reusedSum, kind, subject, string(reused.body)}},
		accept("gzip", stream(path, packed).zipped(), kind, subject, packed),
		accept("gzip whose header a proxy took away", stream(path, bare).zipped().with("Content-Encoding", ""), kind, subject, bare),
		accept("gzip in two members", two, kind, subject, members),
		accept("a type that is new", stream(path, unknown), "io.getstream.feeds.comment.reaction.added", "", unknown),
		accept("a body that is no JSON", stream(path, []byte("\x00\xff\n")), "io.getstream.unknown", "", []byte("\x00\xff\n")),
		accept("a key that names no entry", stream(path, unknown).with("X-Api-Key", "unknown"), "io.getstream.feeds.comment.reaction.added", "", unknown),
		accept("a pending message", stream(path+"/pending-message/PassOnPendingMessage", pending), "io.getstream.PassOnPendingMessage", "", pending),
		refuse("forged", stream(path, once).with("X-Signature", strings.Repeat("0", 64)), http.StatusUnauthorized, unauthenticated),
		refuse("unsigned", stream(path, once).with("X-Signature", ""), http.StatusUnauthorized, unauthenticated),
		refuse("signed for another body", forged(stream(path, once), stream(path, plain)), http.StatusUnauthorized, unauthenticated),
		refuse("oversize", stream(path, big()), http.StatusRequestEntityTooLarge, tooLarge),
		refuse("oversize when inflated", stream(path, big()).zipped(), http.StatusRequestEntityTooLarge, tooLarge),
		refuse("gzip that ends early", cut, http.StatusBadRequest, malformed),
		refuse("gzip with something behind it", trailing, http.StatusBadRequest, malformed),
		refuse("a hook's request at another's path", stream(path, asked), http.StatusNotFound, misrouted),
		refuse("a hook that nobody answers", stream(path+"/before-message-send", asked), http.StatusNotFound, ""),
		refuse("another path", stream("/other", once), http.StatusNotFound, ""),
		refuse("another method", &request{method: http.MethodGet, path: path}, http.StatusMethodNotAllowed, ""),
	}
}

func socialExchanges() []exchange {
	const path, kind = "/hooks", "plus.social.message.didCreate"
	one := created("one")
	asked := []byte(`{"eventName":"message.shouldCreate","data":{"text":"hi"},"actor":{"userId":"ada"}}`)
	legacy := social(path, one).with("X-Amity-Signature", "").with("X-Eko-Signature", "c2lnbmVk")
	return []exchange{
		accept("a message", social(path, one), kind, "", one),
		accept("equal bytes, which may be two events", social(path, one), kind, "", one),
		refuse("the legacy twin", legacy, http.StatusOK, taken),
		accept("with both signatures", social(path, one).with("X-Eko-Signature", "c2lnbmVk"), kind, "", one),
		accept("a body that is no JSON", social(path, []byte("plain")), "plus.social.unknown", "", []byte("plain")),
		refuse("forged", social(path, one).with("X-Amity-Signature", "AAAA"), http.StatusUnauthorized, unauthenticated),
		refuse("unsigned", social(path, one).with("X-Amity-Signature", ""), http.StatusUnauthorized, unauthenticated),
		refuse("oversize", social(path, big()), http.StatusRequestEntityTooLarge, tooLarge),
		refuse("a pre-hook at the events' path", social(path, asked), http.StatusNotFound, misrouted),
		refuse("another path", social(path+"/other", one), http.StatusNotFound, ""),
		refuse("another method", &request{method: http.MethodPut, path: path, body: one}, http.StatusMethodNotAllowed, ""),
	}
}

// forged is a request with the signature of another.
func forged(q, of *request) *request { return q.with("X-Signature", of.header.Get("X-Signature")) }
