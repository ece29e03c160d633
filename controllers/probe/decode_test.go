package probe

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// FuzzDecode holds of any page: it is of the endpoint or the error is a failure
// that repeats nothing of it; and that a digest can be made, which does not depend
// on what changes all the time.
func FuzzDecode(f *testing.F) {
	key := types.NamespacedName{Namespace: "community", Name: "chat"}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	whole, err := json.Marshal(statusz.Page{Endpoints: []statusz.Endpoint{{Namespace: "community", Name: "other"}, {
		Namespace: "community", Name: "chat", Sinks: []statusz.Sink{{Name: "app", LastSuccess: &now}},
		Secret:    statusz.Secret{Entries: []statusz.Entry{{Name: "a", LastUsed: &now}}, Problems: map[string]string{"b": "is empty"}},
		Sources:   statusz.Sources{LastUnlistedValid: &now},
		Misrouted: []statusz.Misrouted{{Hook: "a", Shape: "b", Count: 1, Last: now}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(whole), "", "null", "{}", "[]", `{"endpoints":[null]}`, `{"endpoints":[{"namespace":"community","name":"chat","responders":[{"name":"a"}]}],"tls":{"notAfter":"0000-01-01T00:00:00+23:59"}}`, `{"endpoints":[{"namespace":"community","name":"chat"}]}`,
		`{"endpoints":[{"namespace":"community","name":"chat","sources":{"lastUnlistedValid":"0000-01-01T00:00:00+23:59"}}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, tls, err := decode(data, key)
		if err != nil {
			var known *failure
			if !errors.As(err, &known) || known.result != resultInvalid || e != nil || tls != nil {
				t.Fatalf("decode() = %v, %v; want no page and a failure", e, err)
			}
			return
		}
		if e.Namespace != key.Namespace || e.Name != key.Name {
			t.Fatalf("decode() returned endpoint %s/%s", e.Namespace, e.Name)
		}
		before := digestOf(Report{Page: e, TLS: tls})
		e.Config.LoadedAt = now
		e.Queue.StoredEvents++
		e.Sources.Verified++
		for i := range e.Responders {
			e.Responders[i].Asked++
		}
		for i := range e.Sinks {
			e.Sinks[i].Queued++
		}
		if digestOf(Report{Page: e, TLS: tls}) != before {
			t.Error("the digest depends on a counter")
		}
		e.Config.Generation++
		if digestOf(Report{Page: e, TLS: tls}) == before {
			t.Error("the digest does not depend on the generation")
		}
		from, to := now, now.Add(time.Hour)
		before = digestOf(Report{Page: e, TLS: &statusz.TLS{NotBefore: &from, NotAfter: &to}})
		if digestOf(Report{Page: e, TLS: &statusz.TLS{NotBefore: &to, NotAfter: &to}}) == before {
			t.Error("the digest does not depend on when the certificate began")
		}
	})
}
