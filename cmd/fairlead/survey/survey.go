// Package survey puts together what a cluster says of an endpoint and what each of
// its receivers says of itself. It asks nobody.
package survey

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Survey is how one endpoint is.
type Survey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Ready is whether the endpoint is ready, and every receiver has said so.
	Ready bool `json:"ready"`
	// Why says why it is not.
	Why []string `json:"why,omitempty"`
	// Notes are what somebody should know beside.
	Notes []string `json:"notes,omitempty"`
	// Endpoint is nil outside of a cluster.
	Endpoint *Endpoint `json:"endpoint,omitempty"`
	// Secrets, Sinks and Responders are of all receivers that answered.
	Secrets    []Entry     `json:"secrets"`
	Sinks      []Sink      `json:"sinks"`
	Responders []Responder `json:"responders,omitempty"`
	Receivers  []Receiver  `json:"receivers"`
}

// Endpoint is what the operator says.
type Endpoint struct {
	Provider           string                  `json:"provider"`
	Generation         int64                   `json:"generation"`
	ObservedGeneration int64                   `json:"observedGeneration"`
	Deleting           bool                    `json:"deleting,omitempty"`
	Conditions         []metav1.Condition      `json:"conditions"`
	URL                string                  `json:"url,omitempty"`
	Hooks              []v1alpha1.HookStatus   `json:"hooks,omitempty"`
	SourceRangeCount   int                     `json:"sourceRangeCount"`
	NextRangeChange    *metav1.Time            `json:"nextRangeChange,omitempty"`
	EnforcedBy         string                  `json:"allowlistEnforcedBy,omitempty"`
	Profile            *v1alpha1.ProfileStatus `json:"profile,omitempty"`
}

// Receiver is one receiver: its pod, and what it says itself.
type Receiver struct {
	// Name is the pod's, or an address.
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Phase, Node, Restarts and Terminating are the pod's.
	Phase       string     `json:"phase,omitempty"`
	Node        string     `json:"node,omitempty"`
	Restarts    int32      `json:"restarts,omitempty"`
	Terminating bool       `json:"terminating,omitempty"`
	Version     string     `json:"version,omitempty"`
	Started     *time.Time `json:"started,omitempty"`
	// Error says why it did not answer.
	Error string `json:"error,omitempty"`
	// Page is what it says of the endpoint, and TLS of its certificate.
	Page *statusz.Endpoint `json:"page,omitempty"`
	TLS  *statusz.TLS      `json:"tls,omitempty"`
}

// Answer fills in what a receiver says of an endpoint, or why it says nothing.
func (r *Receiver) Answer(p *statusz.Page, err error, namespace, name string) {
	if err != nil {
		r.Error, r.Ready = err.Error(), false
		return
	}
	r.Version, r.Started, r.TLS = p.Version, statusz.When(p.Started), p.TLS
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.Namespace == namespace && e.Name == name {
			r.Page, r.Ready = e, e.Ready && !p.Draining
			return
		}
	}
	r.Error, r.Ready = fmt.Sprintf("it does not serve endpoint %s/%s", namespace, name), false
}

// OfEndpoint begins a survey with what the operator says.
func OfEndpoint(ep *v1alpha1.WebhookEndpoint) *Survey {
	st := cmp.Or(ep.Status, &v1alpha1.WebhookEndpointStatus{})
	e := &Endpoint{
		Provider: ep.Spec.Provider, Generation: ep.Generation, ObservedGeneration: -1, Deleting: ep.DeletionTimestamp != nil,
		Conditions: st.Conditions, URL: st.URL, Hooks: st.Hooks, NextRangeChange: st.NextRangeChange,
		SourceRangeCount: len(st.SourceRanges), EnforcedBy: string(st.AllowlistEnforcedBy), Profile: st.Profile,
	}
	if e.Conditions == nil {
		e.Conditions = []metav1.Condition{} // a list in JSON too
	}
	if st.ObservedGeneration != nil {
		e.ObservedGeneration = *st.ObservedGeneration
	}
	if st.SourceRangeCount != nil {
		e.SourceRangeCount = int(*st.SourceRangeCount)
	}
	return &Survey{Namespace: ep.Namespace, Name: ep.Name, Endpoint: e}
}

// Merge fills in what follows from the endpoint and the receivers.
func (s *Survey) Merge() {
	s.Why, s.Notes = nil, nil
	if s.Receivers == nil {
		s.Receivers = []Receiver{} // a list in JSON too
	}
	s.mergeSecrets()
	s.mergeSinks()
	s.mergeResponders()
	if s.Endpoint != nil {
		s.Why = append(s.Why, s.Endpoint.Why()...)
	}
	if len(s.Receivers) == 0 {
		s.Why = append(s.Why, "There is no receiver")
	}
	for i := range s.Receivers {
		s.judge(&s.Receivers[i])
	}
	s.Ready = len(s.Why) == 0
}

// Why says why the operator does not call the endpoint ready.
func (e *Endpoint) Why() []string {
	if e.Deleting {
		return []string{"The endpoint is being deleted"}
	}
	ready := slices.IndexFunc(e.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionReady })
	switch {
	case e.ObservedGeneration < 0 || ready < 0:
		return []string{"No operator has seen the endpoint yet; see whether one runs, and serves this namespace"}
	case e.ObservedGeneration < e.Generation:
		return []string{fmt.Sprintf("The operator has not seen generation %d yet; it speaks of %d", e.Generation, e.ObservedGeneration)}
	case e.Conditions[ready].Status != metav1.ConditionTrue:
		return []string{fmt.Sprintf("Ready is %s (%s): %s", e.Conditions[ready].Status, e.Conditions[ready].Reason, e.Conditions[ready].Message)}
	}
	return nil
}

// judge says what is wrong with one receiver. A pod that is to end need not be
// ready.
func (s *Survey) judge(r *Receiver) {
	p := r.Page
	switch {
	case r.Terminating:
		s.Notes = append(s.Notes, r.Name+" is being ended"+because(r.Error))
	case r.Error != "":
		s.Why = append(s.Why, r.Name+" did not answer"+because(r.Error))
	case !r.Ready && p != nil:
		s.Why = append(s.Why, r.Name+" is not ready"+because(p.NotReady))
	}
	if p == nil {
		return
	}
	note := func(format string, args ...any) {
		s.Notes = append(s.Notes, r.Name+": "+fmt.Sprintf(format, args...))
	}
	if p.Config.Error != "" {
		note("the newest configuration is not in use: %s", p.Config.Error)
	} else if s.Endpoint != nil && p.Config.Generation != s.Endpoint.Generation {
		note("it has the configuration of generation %d of %d; the kubelet may take 90 seconds", p.Config.Generation, s.Endpoint.Generation)
	}
	if len(p.Secret.Missing) > 0 {
		note("the Secret lacks %s", strings.Join(p.Secret.Missing, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Secret.Problems)) {
		note("secret entry %q %s", name, p.Secret.Problems[name])
	}
	for _, m := range p.Misrouted {
		note("%d requests of the shape of hook %q came to the URL of %q: at the provider, a URL stands in the wrong field", m.Count, m.Shape, m.Hook)
	}
	if r.TLS != nil && r.TLS.Error != "" {
		note("certificate: %s", r.TLS.Error)
	}
	for _, a := range p.Queue.Alerts {
		note("%s", cmp.Or(alerts[a], a))
	}
}

// alerts says what to do about a store that fills up.
var alerts = map[string]string{
	statusz.StoreQueue:       "its queue is at least half full; at its capacity, events are refused or dropped as whenFull says",
	statusz.StoreDeadLetters: "dead letters are at least half full: replay, export or drop some",
	statusz.StoreDisk:        "its disk has little space left; when it is full, events are refused",
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
