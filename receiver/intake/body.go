package intake

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Buffers up to keepBuffer bytes are used again. Larger ones are left to the
// garbage collector, so that one large event does not pin its size for good.
const (
	firstBuffer = 4 << 10
	keepBuffer  = 64 << 10
	// trustLength is how much of an announced length is allocated before any of it
	// has arrived.
	trustLength = 64 << 10
)

type buffer struct{ b []byte }

// buffers lends memory to request bodies for the time of one request.
type buffers struct{ pool sync.Pool }

func (p *buffers) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		b.b = b.b[:0]
		return b
	}
	return &buffer{b: make([]byte, 0, firstBuffer)}
}

func (p *buffers) put(b *buffer) {
	if cap(b.b) <= keepBuffer {
		p.pool.Put(b)
	}
}

// readBody reads a request's body of at most limit bytes into buf.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, buf *buffer) error {
	if r.ContentLength > limit {
		return errTooLarge
	}
	if r.ContentLength >= 0 {
		return readKnown(r.Body, int(r.ContentLength), buf)
	}
	if err := buf.readAll(http.MaxBytesReader(w, r.Body, limit), limit); err != nil {
		return readError(err)
	}
	return nil
}

// readKnown reads exactly n bytes: the server ends the body there.
func readKnown(body io.Reader, n int, buf *buffer) error {
	for len(buf.b) < n {
		if len(buf.b) == cap(buf.b) {
			buf.grow(min(n, max(2*cap(buf.b), trustLength)))
		}
		m, err := body.Read(buf.b[len(buf.b):min(n, cap(buf.b))])
		buf.b = buf.b[:len(buf.b)+m]
		if len(buf.b) < n && err != nil {
			return readError(err)
		}
	}
	return nil
}

// readAll reads up to limit bytes and one more to notice an excess, which is
// errTooLarge. Memory grows with what arrives, to no more than the limit needs.
func (buf *buffer) readAll(r io.Reader, limit int64) error {
	for {
		if len(buf.b) == cap(buf.b) {
			buf.grow(min(int(limit)+1, 2*cap(buf.b)))
		}
		m, err := r.Read(buf.b[len(buf.b):min(int(limit)+1, cap(buf.b))])
		buf.b = buf.b[:len(buf.b)+m]
		switch {
		case int64(len(buf.b)) > limit:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (buf *buffer) grow(n int) {
	next := make([]byte, len(buf.b), max(n, cap(buf.b)+1))
	copy(next, buf.b)
	buf.b = next
}

// isGzip reports whether b begins like gzip with its only method, deflate
// (RFC 1952). Headers are not asked: proxies inflate and forget to say so.
func isGzip(b []byte) bool {
	return len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8
}

// inflater unpacks gzip with readers that are used again.
type inflater struct{ pool sync.Pool }

// inflate unpacks all members of src into dst, at most limit bytes. Something
// that is not gzip behind the last member is malformed.
func (p *inflater) inflate(src []byte, limit int64, dst *buffer) error {
	z, ok := p.pool.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	defer p.pool.Put(z)
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return errors.Join(errMalformed, err)
	}
	err := dst.readAll(z, limit)
	if err != nil && !errors.Is(err, errTooLarge) {
		return errors.Join(errMalformed, err)
	}
	return err
}
