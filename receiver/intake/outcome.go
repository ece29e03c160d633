package intake

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"net/http"

	"github.com/fairlead-dev/fairlead/receiver/queue"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// Outcome is what became of a request.
type Outcome uint8

// The outcomes. Each but NotFound and MethodNotAllowed has a reply in the
// profile; that of Challenged is the challenge's own, that of Responded the
// responder's, and that of Fallback the hook's allow or deny.
const (
	Accepted Outcome = iota
	Duplicate
	Ignored
	Suspended
	Unauthenticated
	Unlisted
	TooLarge
	Malformed
	RateLimited
	Overloaded
	Failed
	Misrouted
	NotFound
	MethodNotAllowed
	Challenged
	Responded
	Fallback
	// Outcomes is how many there are.
	Outcomes
)

var outcomeNames = [Outcomes]string{
	"accepted", "duplicate", "ignored", "suspended", "unauthenticated", "unlisted", "too_large",
	"malformed", "rate_limited", "overloaded", "failed", "misrouted", "not_found", "method_not_allowed",
	"challenged", "responded", "fallback",
}

// String returns the outcome's name as it stands in metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Errors of the steps that intake itself takes.
var (
	errSuspended   = errors.New("intake is suspended")
	errUnlisted    = errors.New("the client's address is not listed")
	errTooLarge    = errors.New("the body is over the limit")
	errMalformed   = errors.New("the request cannot be read")
	errRateLimited = errors.New("too many requests")
	errOverloaded  = errors.New("too many requests in flight")
	errMisrouted   = errors.New("the body belongs to another hook")
	errIgnored     = errors.New("the profile says to ignore this request")
	errNotFound    = errors.New("no hook is served at this path")
	errNoResponder = errors.New("the hook at this path has no responder")
	errMethod      = errors.New("only POST is served")
	errResponded   = errors.New("a responder has answered")
	errFallback    = errors.New("no responder has answered")
	errChallenge   = errors.New("the request is a challenge, and was answered")
)

// outcomeOf alone turns an error into an outcome. What it does not know is our
// own trouble: the provider must send again.
func outcomeOf(err error) Outcome {
	if err == nil {
		return Accepted
	}
	for _, k := range []struct {
		err     error
		outcome Outcome
	}{
		{verify.ErrNoKeys, Failed},
		{verify.ErrSignature, Unauthenticated},
		{verify.ErrTimestamp, Unauthenticated},
		{errSuspended, Suspended},
		{errUnlisted, Unlisted},
		{errIgnored, Ignored},
		{errTooLarge, TooLarge},
		{errMalformed, Malformed},
		{errRateLimited, RateLimited},
		{errOverloaded, Overloaded},
		{queue.ErrFull, Overloaded},
		{queue.ErrNoSpace, Overloaded},
		{errMisrouted, Misrouted},
		{errNotFound, NotFound},
		{errNoResponder, NotFound},
		{errMethod, MethodNotAllowed},
		{errChallenge, Challenged},
		{errResponded, Responded},
		{errFallback, Fallback},
	} {
		if errors.Is(err, k.err) {
			return k.outcome
		}
	}
	return Failed
}

// Unverified says why a request was not verified.
type Unverified uint8

// The ways not to be verified.
const (
	// Wrong is a signature that none of our secrets makes.
	Wrong Unverified = iota
	// Unsigned is none at all.
	Unsigned
	// Late is one of ours that is too old, or too new.
	Late
	// Keyless is our own trouble: there was no secret to try.
	Keyless
)

func unverified(err error) Unverified {
	switch {
	case errors.Is(err, verify.ErrNoKeys):
		return Keyless
	case errors.Is(err, verify.ErrTimestamp):
		return Late
	case errors.Is(err, verify.ErrUnsigned):
		return Unsigned
	}
	return Wrong
}

// readError says what an error of reading a body means.
func readError(err error) error {
	var tooLarge *http.MaxBytesError
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt), errors.Is(err, io.ErrUnexpectedEOF):
		return errMalformed
	}
	return errors.Join(errMalformed, err)
}
