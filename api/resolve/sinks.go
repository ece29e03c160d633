package resolve

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func (r *resolver) sinks() []config.Sink {
	all := make([]config.Sink, 0, len(r.ep.Spec.Sinks))
	for i := range r.ep.Spec.Sinks {
		s := &r.ep.Spec.Sinks[i]
		field := fmt.Sprintf("spec.sinks[%d]", i)
		r.checkHooks(field, s.Hooks)
		out := config.Sink{
			Name:     s.Name,
			HTTP:     httpSink(s.HTTP),
			Hooks:    s.Hooks,
			Types:    s.Types,
			Filter:   r.filter(field+".filter", s.Filter),
			WhenFull: unless(s.WhenFull, v1alpha1.WhenFullReject),
			Delivery: r.delivery(field+".delivery", s.Delivery),
		}
		if s.Stdout != nil {
			out.Stdout = &config.StdoutSink{}
		}
		all = append(all, out)
	}
	return all
}

// checkHooks finds the hooks that a sink cannot get events of.
func (r *resolver) checkHooks(field string, hooks []string) {
	for i, name := range hooks {
		at := fmt.Sprintf("%s.hooks[%d]", field, i)
		switch h := r.hook(name); {
		case h == nil:
			all := append(r.hookNames(v1alpha1.HookAsync), r.hookNames(v1alpha1.HookSync)...)
			r.problem(at, "Provider %q has no hook %q; choose from %s", r.p.Name, name, list(all))
		case h.Mode == v1alpha1.HookSync && !r.answered(name):
			r.problem(at, "Hook %q waits for an answer, and nobody gives one; add a responder for it to spec.responders, or take it out", name)
		}
	}
}

func httpSink(s *v1alpha1.HTTPSink) *config.HTTPSink {
	if s == nil {
		return nil
	}
	out := &config.HTTPSink{URL: s.URL}
	if s.CASecretRef != nil {
		out.CAFile = secretFile(*s.CASecretRef)
	}
	for _, h := range s.Headers {
		c := config.SinkHeader{Name: h.Name, Value: h.Value}
		if h.ValueFrom != nil {
			c.File = secretFile(h.ValueFrom.SecretKeyRef)
		}
		out.Headers = append(out.Headers, c)
	}
	return out
}

// secretFile is where the kubelet, or the tool in its stead, puts an entry of a
// Secret below the secrets' root.
func secretFile(ref v1alpha1.SecretKeyReference) string { return ref.Name + "/" + ref.Key }

func (r *resolver) delivery(field string, d *v1alpha1.Delivery) config.Delivery {
	if d.Ordering == v1alpha1.OrderingBySubject && r.ep.Spec.Receiver.Replicas != 1 {
		r.problem(field+".ordering", "Ordering BySubject needs all events of a subject in one queue, and each receiver has its own; "+
			"set spec.receiver.replicas to 1 and take out spec.receiver.autoscaling, or set ordering to None")
	}
	return config.Delivery{
		MaxAttempts: int(d.MaxAttempts),
		Concurrency: int(d.Concurrency),
		MinBackoff:  metav1.Duration{Duration: r.duration(field+".minBackoff", d.MinBackoff)},
		MaxBackoff:  metav1.Duration{Duration: r.duration(field+".maxBackoff", d.MaxBackoff)},
		MaxAge:      metav1.Duration{Duration: r.duration(field+".maxAge", d.MaxAge)},
		Timeout:     metav1.Duration{Duration: r.duration(field+".timeout", d.Timeout)},
		Ordering:    unless(d.Ordering, v1alpha1.OrderingNone),
	}
}

func (r *resolver) queue() config.Queue {
	q := r.ep.Spec.Queue
	return config.Queue{
		CapacityBytes: bytes(q.Capacity),
		Retention:     metav1.Duration{Duration: r.duration("spec.queue.retention", q.Retention)},
		DeadLetters: config.DeadLetters{
			CapacityBytes: bytes(q.DeadLetters.Capacity),
			WhenFull:      q.DeadLetters.WhenFull,
		},
		Quarantine: r.quarantine(q.Quarantine),
	}
}

func (r *resolver) quarantine(q *v1alpha1.Quarantine) *config.Quarantine {
	if q == nil {
		return nil
	}
	return &config.Quarantine{
		MaxRequests:   int(q.MaxRequests),
		CapacityBytes: bytes(q.Capacity),
		MaxAge:        metav1.Duration{Duration: r.duration("spec.queue.quarantine.maxAge", q.MaxAge)},
	}
}

func (r *resolver) limits() config.Limits {
	l := r.ep.Spec.Limits
	return config.Limits{
		MaxBodyBytes:               bytes(l.MaxBodyBytes),
		MaxConnections:             unlessNumber(l.MaxConnections, 4096),
		MaxRequestsInFlight:        unlessNumber(l.MaxRequestsInFlight, 1024),
		RequestsPerSecond:          int(l.RequestsPerSecond),
		RequestsPerSecondPerSource: int(l.RequestsPerSecondPerSource),
	}
}

func (r *resolver) drain() config.Drain {
	d := r.ep.Spec.Receiver.Drain
	return config.Drain{
		Delay: metav1.Duration{Duration: r.duration("spec.receiver.drain.delay", d.Delay)},
		Grace: metav1.Duration{Duration: r.duration("spec.receiver.drain.grace", d.Grace)},
	}
}

// unless returns v, and nothing for the default: receivers that do not know the
// field yet, as during an upgrade, go on to read configurations that do not need
// it.
func unless[T ~string](v, byDefault T) T {
	if v == byDefault {
		return ""
	}
	return v
}

// unlessNumber is the same for a number.
func unlessNumber(v, byDefault int32) int {
	if v == byDefault {
		return 0
	}
	return int(v)
}

// bytes returns the value, or 0 for a field that was left out.
func bytes(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}
