package survey_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/survey"
)

func page(edit func(*statusz.Endpoint)) *statusz.Page {
	e := statusz.Endpoint{Namespace: "community", Name: "chat", Ready: true, Config: statusz.Config{Generation: 2},
		Secret: statusz.Secret{Entries: []statusz.Entry{{Name: "current", Fingerprint: "aa"}}},
		Sinks:  []statusz.Sink{{Name: "app", State: statusz.SinkOK}}}
	edit(&e)
	return &statusz.Page{Version: "v1", Endpoints: []statusz.Endpoint{{Namespace: "community", Name: "other"}, e}}
}

func ready(status metav1.ConditionStatus) *v1alpha1.WebhookEndpoint {
	ep := &v1alpha1.WebhookEndpoint{Status: &v1alpha1.WebhookEndpointStatus{ObservedGeneration: ptr.To[int64](2),
		Conditions: []metav1.Condition{{Type: "Ready", Status: status, Reason: "NoReceivers", Message: "None is ready"}}}}
	ep.Namespace, ep.Name, ep.Generation = "community", "chat", 2
	return ep
}

// receiver returns one that answered.
func receiver(name string, edit func(*statusz.Endpoint)) survey.Receiver {
	r := survey.Receiver{Name: name}
	r.Answer(page(edit), nil, "community", "chat")
	return r
}

func as(*statusz.Endpoint) {}

func TestMerge(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	s := survey.OfEndpoint(ready(metav1.ConditionTrue))
	s.Receivers = []survey.Receiver{
		receiver("a", func(e *statusz.Endpoint) {
			e.Secret.Entries[0].LastUsed = &early
			e.Sinks = []statusz.Sink{{Name: "app", State: statusz.SinkOK, Queued: 1, DeadLetters: 2, LastSuccess: &late, OldestAgeSeconds: 1}, {Name: "audit", State: statusz.SinkPending}}
			e.Responders = []statusz.Responder{{Name: "m", Hook: "h", State: statusz.SinkOK, Asked: 3}}
		}),
		receiver("b", func(e *statusz.Endpoint) {
			e.Secret.Entries = []statusz.Entry{{Name: "current", Fingerprint: "bb", LastUsed: &late}, {Name: "next", Fingerprint: "cc"}}
			e.Sinks = []statusz.Sink{{Name: "app", State: statusz.SinkFailing, Reason: "answered 500", Queued: 4, DeadLetters: 1, OldestAgeSeconds: 9, LastSuccess: &early}, {Name: "audit", State: statusz.SinkPending, Reason: "no key"}}
			e.Responders = []statusz.Responder{{Name: "m", Hook: "h", State: statusz.SinkFailing, Reason: "timed out", Asked: 2, Failed: 2}}
		}),
	}
	s.Merge()
	if !s.Ready {
		t.Errorf("not ready: %q", s.Why)
	}
	wantSinks := []survey.Sink{
		{Name: "app", State: statusz.SinkFailing, Where: []string{"b"}, Reason: "answered 500", LastSuccess: &late, Queued: 5, DeadLetters: 3, OldestAgeSeconds: 9},
		{Name: "audit", State: statusz.SinkPending, Where: []string{"a", "b"}, Reason: "no key"},
	}
	if diff := cmp.Diff(wantSinks, s.Sinks); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
	wantSecrets := []survey.Entry{
		{Name: "current", LastUsed: &late, Held: []survey.Held{{"aa", []string{"a"}}, {"bb", []string{"b"}}}, Without: []string{}},
		{Name: "next", Held: []survey.Held{{"cc", []string{"b"}}}, Without: []string{"a"}},
	}
	if diff := cmp.Diff(wantSecrets, s.Secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]survey.Responder{{Name: "m", Hook: "h", State: statusz.SinkFailing, Where: []string{"b"}, Reason: "timed out", Asked: 5, Failed: 2}}, s.Responders); diff != "" {
		t.Errorf("responders (-want +got):\n%s", diff)
	}
	if len(s.Notes) != 2 || !strings.Contains(s.Notes[0], `"current"`) || !strings.Contains(s.Notes[1], `"next"`) {
		t.Errorf("notes %q, want that both entries differ", s.Notes)
	}
}

func TestReady(t *testing.T) {
	silent := survey.Receiver{Name: "b"}
	silent.Answer(nil, errors.New("timed out"), "community", "chat")
	ending := silent
	ending.Terminating = true
	stranger := survey.Receiver{Name: "b"}
	stranger.Answer(&statusz.Page{}, nil, "community", "chat")
	behind := ready(metav1.ConditionTrue)
	behind.Generation = 3
	deleting := ready(metav1.ConditionTrue)
	deleting.DeletionTimestamp = &metav1.Time{}
	fresh := ready(metav1.ConditionTrue)
	fresh.Status = nil
	unready := receiver("b", func(e *statusz.Endpoint) { e.Ready, e.NotReady = false, "no usable secret" })
	for name, tt := range map[string]struct {
		ep        *v1alpha1.WebhookEndpoint
		receivers []survey.Receiver
		want      string // part of why not; empty if ready
	}{
		"ready":           {ready(metav1.ConditionTrue), []survey.Receiver{receiver("a", as), receiver("b", as)}, ""},
		"ending":          {ready(metav1.ConditionTrue), []survey.Receiver{receiver("a", as), ending}, ""},
		"not ready":       {ready(metav1.ConditionFalse), []survey.Receiver{receiver("a", as)}, "Ready is False (NoReceivers): None is ready"},
		"one is silent":   {ready(metav1.ConditionTrue), []survey.Receiver{receiver("a", as), silent}, "b did not answer: timed out"},
		"one is not":      {ready(metav1.ConditionTrue), []survey.Receiver{receiver("a", as), unready}, "b is not ready: no usable secret"},
		"one is another":  {ready(metav1.ConditionTrue), []survey.Receiver{receiver("a", as), stranger}, "does not serve endpoint community/chat"},
		"none":            {ready(metav1.ConditionTrue), nil, "There is no receiver"},
		"no operator":     {fresh, []survey.Receiver{receiver("a", as)}, "No operator has seen the endpoint yet"},
		"changed":         {behind, []survey.Receiver{receiver("a", as)}, "has not seen generation 3 yet"},
		"deleted":         {deleting, []survey.Receiver{receiver("a", as)}, "is being deleted"},
		"not in cluster":  {nil, []survey.Receiver{receiver("a", as)}, ""},
		"bad out of them": {nil, []survey.Receiver{unready}, "no usable secret"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &survey.Survey{Namespace: "community", Name: "chat"}
			if tt.ep != nil {
				s = survey.OfEndpoint(tt.ep)
			}
			s.Receivers = tt.receivers
			s.Merge()
			why := strings.Join(s.Why, "\n")
			if s.Ready != (tt.want == "") || !strings.Contains(why, tt.want) {
				t.Errorf("ready %v, because %q; want it to say %q", s.Ready, why, tt.want)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*statusz.Endpoint)
		want string
	}{
		"old configuration": {func(e *statusz.Endpoint) { e.Config.Generation = 1 }, "generation 1 of 2"},
		"refused":           {func(e *statusz.Endpoint) { e.Config.Error = "field x" }, "not in use: field x"},
		"missing entry":     {func(e *statusz.Endpoint) { e.Secret.Missing = []string{"next"} }, "lacks next"},
		"bad entry":         {func(e *statusz.Endpoint) { e.Secret.Problems = map[string]string{"current": "is short"} }, `"current" is short`},
		"wrong URL":         {func(e *statusz.Endpoint) { e.Misrouted = []statusz.Misrouted{{Hook: "push", Shape: "sync", Count: 3}} }, `hook "sync" came to the URL of "push"`},
		"full":              {func(e *statusz.Endpoint) { e.Queue.Alerts = []string{statusz.StoreDisk} }, "little space"},
	} {
		s := survey.OfEndpoint(ready(metav1.ConditionTrue))
		s.Receivers = []survey.Receiver{receiver("a", tt.edit)}
		s.Merge()
		if len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], "a: ") || !strings.Contains(s.Notes[0], tt.want) {
			t.Errorf("%s: notes %q, want one that says %q", name, s.Notes, tt.want)
		}
	}
}

// TestLists holds that programs which read -o json find lists where lists are, also
// for an endpoint that nobody has seen.
func TestLists(t *testing.T) {
	fresh := ready(metav1.ConditionTrue)
	fresh.Status = nil
	s := survey.OfEndpoint(fresh)
	s.Merge()
	data, err := json.Marshal(s)
	if err != nil || strings.Contains(string(data), "null") {
		t.Errorf("%s, %v", data, err)
	}
}

// TestAdvice holds that there is something to do for every reason in the code.
func TestAdvice(t *testing.T) {
	src, err := os.ReadFile("../../../api/v1alpha1/conditions.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(src)) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "const "))
		if len(f) != 3 || !strings.HasPrefix(f[0], "Reason") || f[1] != "=" {
			continue
		}
		n++
		if reason := strings.Trim(f[2], `"`); survey.Advice(reason) == "" {
			t.Errorf("nothing is said of reason %s; run `make generate`", reason)
		}
	}
	if n < 10 {
		t.Errorf("found %d reasons; they are not read", n)
	}
	if got := survey.Advice("ImagePullBackOff"); got != "" {
		t.Errorf("of a reason that is the kubelet's: %q", got)
	}
}
