package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// hinter says what to look at when an answer is not the right one.
type hinter struct {
	hook     string // empty: none was named
	sync     bool
	replies  *v1alpha1.Replies
	reported string // how it is said that a hook is misrouted
}

func newHinter(p *v1alpha1.WebhookProvider, hook string, sync bool) *hinter {
	return &hinter{hook: hook, sync: sync, replies: &p.Spec.Replies, reported: p.Spec.Replies.Misrouted.Body}
}

// of returns a sentence on a status that is not the right one; empty if there is
// nothing to say that the answer does not.
func (h *hinter) of(status int, body []byte) string {
	switch {
	case status == http.StatusBadRequest && bytes.Contains(body, []byte("HTTP request to an HTTPS server")):
		return "the receiver may speak TLS there (write https:// in --to)"
	case h.reported != "" && status == int(h.replies.Misrouted.Status) && strings.TrimSpace(string(body)) == h.reported:
		return "the body is that of another hook than the one whose URL this is; choose the right one with --hook"
	case status == http.StatusNotFound && h.sync:
		return fmt.Sprintf("no responder for hook %q: add one to spec.responders, or make --to the endpoint's own URL", h.hook)
	case status == http.StatusNotFound:
		return "no hook is served there: --to is the endpoint's own URL, with spec.exposure.path; hooks below it are named by --hook"
	case status == int(h.replies.Unlisted.Status):
		return "the receiver sees another address than the provider's: while you try, add yours to spec.sources.additionalRanges; behind a proxy, see spec.sources.trustedProxies"
	case status == int(h.replies.Unauthenticated.Status):
		return "this secret is not among those of the endpoint's Secret, or something changed the body or headers on the way; if the same is taken by the receiver itself (kubectl port-forward), it is the latter"
	case status == int(h.replies.TooLarge.Status):
		return "the body is larger than spec.limits.maxBodyBytes"
	case status == http.StatusServiceUnavailable:
		return "the receiver cannot take it: it has no signing secret, its queue is full, or spec.suspend is Intake; its /statusz says which"
	}
	return ""
}

// ofError does the same where there was no answer. connected is whether a connection
// stood.
func (h *hinter) ofError(err error, connected bool) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there; start fairlead run, or forward a port to the receiver"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the receiver speaks plain HTTP there: write http:// in --to, or give it a certificate"
	case errors.As(err, &authority):
		return "name the certificate's authority with --ca; if that is a public one, the receiver does not send the certificates between: tls.crt must hold the whole chain"
	case errors.As(err, &name):
		return "write the certificate's name in --to, and where to connect in --connect"
	case !connected && errors.Is(err, context.DeadlineExceeded):
		return "nothing answers at that address: a firewall, loadBalancerSourceRanges or a NetworkPolicy lets only the provider's addresses in, or it is the wrong address"
	case errors.Is(err, context.DeadlineExceeded):
		return "the connection stands and no answer came: a proxy on the way that waits for its upstream, or a receiver that is overloaded; if the receiver itself (kubectl port-forward) answers, it is the former"
	case errors.Is(err, syscall.ECONNRESET):
		return "the receiver broke the connection off: it may speak TLS there (write https:// in --to), or want a PROXY protocol header from you (--proxy-from), or take none from you"
	}
	return ""
}
