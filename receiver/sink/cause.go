package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// Causes of failed attempts, in words that hold nothing of the configuration or
// of the event. The library's own errors print hosts, addresses and what the
// other side sent.
var (
	errHost       = errors.New("host name does not resolve")
	errLookup     = errors.New("looking up the host name did not work")
	errClosed     = errors.New("connection ended before the answer")
	errTimeout    = errors.New("timeout of the connection")
	errBroken     = errors.New("connection broke, or the answer is not HTTP")
	errOtherHost  = errors.New("TLS: certificate is for another host")
	errAuthority  = errors.New("TLS: certificate is from an authority that is not trusted")
	errOutOfDate  = errors.New("TLS: certificate has expired or is not yet valid")
	errBadCert    = errors.New("TLS: certificate cannot be used")
	errNotTLS     = errors.New("TLS: the other side does not speak TLS")
	errHandshake  = errors.New("TLS: the other side refused the handshake")
	errUnfinished = errors.New("attempt ran out of time")
	errCancelled  = errors.New("attempt was called off")
)

// cause returns an error that says why a request got no answer and holds no
// secret. errors.Is finds the context's errors and the system's error numbers.
func cause(ctx context.Context, err error) error {
	switch ctx.Err() {
	case context.DeadlineExceeded:
		return withKind{errUnfinished, context.DeadlineExceeded}
	case context.Canceled:
		return withKind{errCancelled, context.Canceled}
	}
	for _, find := range []func(error) error{guardCause, dnsCause, tlsCause, netCause} {
		if c := find(err); c != nil {
			return c
		}
	}
	return errBroken
}

// withKind reads as its text and is found by errors.Is as both.
type withKind struct{ text, kind error }

func (e withKind) Error() string   { return e.text.Error() }
func (e withKind) Unwrap() []error { return []error{e.text, e.kind} }

func guardCause(err error) error {
	if a, ok := errors.AsType[*AddressError](err); ok {
		return a
	}
	return nil
}

func dnsCause(err error) error {
	d, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return nil
	case d.IsNotFound:
		return errHost
	}
	return errLookup
}

func tlsCause(err error) error {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return errOtherHost
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errAuthority
	}
	if c, ok := errors.AsType[x509.CertificateInvalidError](err); ok && c.Reason == x509.Expired {
		return errOutOfDate
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errBadCert
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errNotTLS
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return errHandshake
	}
	return nil
}

func netCause(err error) error {
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return n
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return errClosed
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return errTimeout
	}
	return nil
}
