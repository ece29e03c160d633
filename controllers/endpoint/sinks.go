package endpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// setSinks sets SinksReady. One sink's trouble does not make the endpoint less
// Ready: it takes events, and they wait. That they will not for ever is said before
// it comes to that.
func setSinks(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) {
	reason, says := filling(ep, pages)
	for _, t := range slices.Concat(troubled(pages), unanswered(ep, pages)) {
		says = append(says, t.message)
		if reason == "" {
			reason = t.reason
		}
	}
	if reason == "" {
		setCondition(ep, v1alpha1.ConditionSinksReady, metav1.ConditionTrue, v1alpha1.ReasonSinksDelivering, "No sink is failing")
		return
	}
	setCondition(ep, v1alpha1.ConditionSinksReady, metav1.ConditionFalse, reason, strings.Join(says, ". "))
}

// trouble is a reason of SinksReady with a sentence to it.
type trouble struct{ reason, message string }

// troubled lists the sinks that take nothing, by name; pending ones, for which a
// person must do something here, come first.
func troubled(pages []*statusz.Endpoint) []trouble {
	pending, failing := map[string]string{}, map[string]string{} // sink -> why
	for _, p := range pages {
		for i := range p.Sinks {
			switch s := &p.Sinks[i]; s.State {
			case statusz.SinkPending:
				pending[s.Name] = s.Reason
			case statusz.SinkFailing:
				failing[s.Name] = s.Reason
			}
		}
	}
	var all []trouble
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		delete(failing, name) // elsewhere
		all = append(all, trouble{v1alpha1.ReasonSinkPending, fmt.Sprintf("Sink %q is pending: %s; its events wait", name, pending[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(failing)) {
		all = append(all, trouble{v1alpha1.ReasonSinkFailing, fmt.Sprintf("Sink %q is failing: %s; its events wait", name, failing[name])})
	}
	return all
}

// unanswered lists the responders that do not answer; pending ones first. What it
// means for the provider is what the endpoint says.
func unanswered(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) []trouble {
	pending, failing := map[[2]string]string{}, map[[2]string]string{} // hook and name -> why
	for _, p := range pages {
		for i := range p.Responders {
			switch s := &p.Responders[i]; s.State {
			case statusz.SinkPending:
				pending[[2]string{s.Hook, s.Name}] = s.Reason
			case statusz.SinkFailing:
				failing[[2]string{s.Hook, s.Name}] = s.Reason
			}
		}
	}
	var all []trouble
	for _, of := range []struct {
		reason, is string
		why        map[[2]string]string
	}{{v1alpha1.ReasonResponderPending, "pending", pending}, {v1alpha1.ReasonResponderFailing, "failing", failing}} {
		for _, key := range slices.SortedFunc(maps.Keys(of.why), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			all = append(all, trouble{of.reason, fmt.Sprintf("Responder %q of hook %q is %s: %s; the provider is answered as its onFailure says%s",
				key[1], key[0], of.is, of.why[key], onFailure(ep, key[0], key[1]))})
			delete(failing, key) // elsewhere
		}
	}
	return all
}

// onFailure says what a responder's onFailure is, if the endpoint still has it.
func onFailure(ep *v1alpha1.WebhookEndpoint, hook, name string) string {
	for i := range ep.Spec.Responders {
		if s := &ep.Spec.Responders[i]; s.Hook == hook && (s.Name == name || s.Name == "" && name == hook) {
			return fmt.Sprintf(" (%s)", s.OnFailure)
		}
	}
	return ""
}

// store is something in receivers that may fill up.
type store struct {
	name   string // in statusz.Queue.Alerts
	reason string
	// begins is how its sentence begins, which tells whether it was announced.
	begins string
}

// stores lists them, the one whose end is nearest to a loss first.
func stores() []store {
	return []store{
		{statusz.StoreDisk, v1alpha1.ReasonDiskFilling, "A receiver's disk has little free space"},
		{statusz.StoreQueue, v1alpha1.ReasonQueueFilling, "A queue is more than half full"},
		{statusz.StoreDeadLetters, v1alpha1.ReasonDeadLettersFilling, "Dead letters take more than half of their room"},
	}
}

// filling says which stores fill up, and what happens when they are full; and the
// reason of the first of them.
func filling(ep *v1alpha1.WebhookEndpoint, pages []*statusz.Endpoint) (reason string, says []string) {
	spec := &resolve.Filled(ep).Spec
	for _, s := range stores() {
		alerting := slices.DeleteFunc(slices.Clone(pages), func(p *statusz.Endpoint) bool { return !slices.Contains(p.Queue.Alerts, s.name) })
		if len(alerting) == 0 {
			continue
		}
		if reason == "" {
			reason = s.reason
		}
		says = append(says, s.begins+prospect(s.name, spec, alerting))
	}
	return reason, says
}

// prospect says whose events fill a store, what happens when it is full, and what
// to do.
func prospect(store string, spec *v1alpha1.WebhookEndpointSpec, pages []*statusz.Endpoint) string {
	const refuses = "intake answers 503"
	switch store {
	case statusz.StoreQueue:
		then := refuses + " (whenFull: Reject)"
		if drop := dropping(spec); len(drop) > 0 {
			then = fmt.Sprintf("the oldest events of %s are dropped (whenFull: DropOldest)", strings.Join(drop, ", "))
		}
		return fmt.Sprintf("%s; when it is full, %s. See to that sink, or raise spec.queue.capacity",
			most(pages, func(s *statusz.Sink) int64 { return s.QueuedBytes }), then)
	case statusz.StoreDeadLetters:
		then := refuses
		if spec.Queue.DeadLetters.WhenFull == v1alpha1.WhenFullDropOldest {
			then = "the oldest ones are dropped"
		}
		return fmt.Sprintf("%s; when it is full, %s (deadLetters.whenFull). Replay or drop them, or raise spec.queue.deadLetters.capacity",
			most(pages, func(s *statusz.Sink) int64 { return s.DeadLetters }), then)
	}
	return "; when there is none left, " + refuses + ". See what fills the node's disk or the volume"
}

// most names the sink that has the most of something in these receivers.
func most(pages []*statusz.Endpoint, of func(*statusz.Sink) int64) string {
	sums := map[string]int64{}
	for _, p := range pages {
		for i := range p.Sinks {
			sums[p.Sinks[i].Name] += of(&p.Sinks[i])
		}
	}
	name := ""
	for _, n := range slices.Sorted(maps.Keys(sums)) {
		if sums[n] > sums[name] {
			name = n
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", most of it for sink %q", name)
}

// dropping lists the sinks that give way when the queue is full.
func dropping(spec *v1alpha1.WebhookEndpointSpec) []string {
	var all []string
	for i := range spec.Sinks {
		if spec.Sinks[i].WhenFull == v1alpha1.WhenFullDropOldest {
			all = append(all, fmt.Sprintf("sink %q", spec.Sinks[i].Name))
		}
	}
	return all
}

// announced returns the reasons of the stores that SinksReady tells of now and did
// not tell of before. Each is an Event, also when the condition was False already.
func announced(was, is *metav1.Condition) []string {
	var reasons []string
	for _, s := range stores() {
		if strings.Contains(is.Message, s.begins) && (was == nil || !strings.Contains(was.Message, s.begins)) {
			reasons = append(reasons, s.reason)
		}
	}
	return reasons
}
