// Package resolve makes, of an endpoint, its provider's profile and the time,
// the configuration that a receiver works by and the address ranges that may
// send. It is pure: the operator and the tool get the same answer.
package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// Result is what an endpoint comes to at a moment.
type Result struct {
	// Config is what the receiver reads.
	Config *config.Config
	// Ranges lists the addresses that may send, by region and address.
	Ranges []SourceRange
	// Omitted lists the provider's other addresses: those of the regions that the
	// endpoint leaves out.
	Omitted []SourceRange
	// NextChange is when Ranges will differ; zero: never, as far as is known.
	NextChange time.Time
}

// SourceRange is a range of addresses that may send.
type SourceRange struct {
	// Region is the provider's region; empty for a range of the endpoint's own.
	Region string
	CIDR   netip.Prefix
}

// Problem is something that the endpoint's author must change, and that a schema
// cannot see.
type Problem struct {
	// Field is the field to change, as in spec.sinks[0].hooks[1].
	Field string
	// Message is a sentence that begins with a capital and says what to do.
	Message string
}

func (p *Problem) Error() string { return p.Field + ": " + p.Message }

// Problems lists the Problems in an error of Resolve, in their order.
func Problems(err error) []*Problem { return provider.AllOf[*Problem](err) }

// Resolve returns what ep comes to with profile p at the time now. Both have
// passed their CRD's schema and hold its defaults; p has passed provider.Check.
// The error joins every Problem there is.
func Resolve(ep *v1alpha1.WebhookEndpoint, p *v1alpha1.WebhookProvider, now time.Time) (*Result, error) {
	ep = Filled(ep)
	r := &resolver{ep: ep, p: p, now: now}
	res := &Result{Ranges: r.ranges(), Omitted: r.omitted(), NextChange: r.nextChange()}
	res.Config = &config.Config{
		APIVersion: config.APIVersion,
		Kind:       config.Kind,
		Schema:     config.Schema,
		Endpoint:   config.Endpoint{Namespace: ep.Namespace, Name: ep.Name, Generation: ep.Generation},
		Provider:   config.Provider{Name: p.Name, Revision: provider.Revision(p)},
		Path:       ep.Spec.Exposure.Path,
		URL:        r.url(),
		Signatures: p.Spec.Signatures,
		Event:      p.Spec.Event,
		Ignore:     p.Spec.Ignore,
		Replies:    p.Spec.Replies,
		Hooks:      p.Spec.Hooks,
		Challenges: p.Spec.Challenges,
		Secret:     config.Secret{Dir: ep.Spec.SecretRef.Name, Keys: ep.Spec.SecretRef.Keys},
		Sources:    r.sources(res.Ranges),
		Limits:     r.limits(),
		Sinks:      r.sinks(),
		Responders: r.responders(),
		Queue:      r.queue(),
		Drain:      r.drain(),
		Suspend:    ep.Spec.Suspend,
	}
	r.checkCertificate()
	if len(r.problems) > 0 {
		return nil, errors.Join(r.problems...)
	}
	return res, nil
}

// Filled returns a copy of ep in which no group of settings is missing. Defaults
// are the CRD's and are not repeated here: what it did not set stays zero.
func Filled(ep *v1alpha1.WebhookEndpoint) *v1alpha1.WebhookEndpoint {
	ep = ep.DeepCopy()
	s := &ep.Spec
	fill(&s.Sources)
	fill(&s.Queue)
	fill(&s.Queue.DeadLetters)
	fill(&s.Exposure)
	fill(&s.Limits)
	fill(&s.NetworkPolicy)
	fill(&s.Receiver)
	fill(&s.Receiver.Resources)
	fill(&s.Receiver.Drain)
	for i := range s.Sinks {
		fill(&s.Sinks[i].Delivery)
	}
	return ep
}

func fill[T any](p **T) {
	if *p == nil {
		*p = new(T)
	}
}

// resolver collects problems, so that an author sees all of them at once.
type resolver struct {
	ep       *v1alpha1.WebhookEndpoint
	p        *v1alpha1.WebhookProvider
	now      time.Time
	problems []error
}

func (r *resolver) problem(field, format string, args ...any) {
	r.problems = append(r.problems, &Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// url returns the endpoint's public URL, or nothing while no host is known.
func (r *resolver) url() string {
	e := r.ep.Spec.Exposure
	if e.Host != "" {
		return Origin(e) + e.Path
	}
	for i := range r.p.Spec.Signatures {
		if strings.Contains(r.p.Spec.Signatures[i].Content, "{url}") {
			r.problem("spec.exposure.host",
				"Provider %q signs the endpoint's URL; set host to the public host name that the provider posts to", r.p.Name)
			break
		}
	}
	return ""
}

// checkCertificate finds a certificate that would count as a signing secret: what
// everybody can read must verify nothing.
func (r *resolver) checkCertificate() {
	tls, ref := r.ep.Spec.Exposure.TLS, r.ep.Spec.SecretRef
	if tls == nil || tls.SecretName != ref.Name {
		return
	}
	if len(ref.Keys) == 0 || slices.Contains(ref.Keys, certificateEntry) {
		r.problem("spec.exposure.tls.secretName", "Secret %q holds the signing secrets, and its certificate, which everybody may read, would be one of them; "+
			"put the certificate into a Secret of its own", ref.Name)
	}
}

// certificateEntry is the entry of a Secret of type kubernetes.io/tls with the
// certificate.
const certificateEntry = "tls.crt"

// The ports that a URL need not name.
const (
	httpPort  = 80
	httpsPort = 443
)

// Origin returns scheme, host and port of the public URL of an exposure that has a
// host. Only a load balancer on a port other
// than 443, before receivers that serve no TLS, is taken to speak plain HTTP: all
// else has a proxy that ends TLS.
func Origin(e *v1alpha1.Exposure) string {
	port := int32(httpsPort)
	if e.Type == v1alpha1.ExposureLoadBalancer {
		port = LoadBalancerPort(e)
	}
	switch {
	case port == httpsPort:
		return "https://" + e.Host
	case e.TLS != nil:
		return fmt.Sprintf("https://%s:%d", e.Host, port)
	case port == httpPort:
		return "http://" + e.Host
	}
	return fmt.Sprintf("http://%s:%d", e.Host, port)
}

// LoadBalancerPort is the public port of a Service of type LoadBalancer.
func LoadBalancerPort(e *v1alpha1.Exposure) int32 {
	switch {
	case e.LoadBalancer != nil && e.LoadBalancer.Port != 0:
		return e.LoadBalancer.Port
	case e.TLS != nil:
		return httpsPort
	}
	return httpPort
}

// duration reads a duration that the schema has checked.
func (r *resolver) duration(field string, d v1alpha1.Duration) time.Duration {
	v, err := d.Parse()
	if err != nil {
		r.problem(field, "Value %q is no duration; write it like 10s, 1500ms or 1h30m", string(d))
	}
	return v
}
