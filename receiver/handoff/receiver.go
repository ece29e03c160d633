package handoff

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// ReceiverOptions are what a Receiver works with. All are needed but Observer.
type ReceiverOptions struct {
	Endpoint Endpoint
	// Secrets returns the secrets that are in use now.
	Secrets func() []Secret
	// Receive stores transfers, as queue.Transfers says.
	Receive func(context.Context, []queue.Transfer) (int, error)
	// NotReady says why nothing can be taken now; nil if something can.
	NotReady func() error
	// MaxBody is the endpoint's limit of a body.
	MaxBody func() int64
	// Observer is told what was asked for; nil means nobody.
	Observer ReceiverObserver
	Logger   *slog.Logger
	Now      func() time.Time
}

// ReceiverObserver is told what a Receiver is asked for.
type ReceiverObserver interface {
	// Asked says what became of one request. reason is empty if it was granted.
	Asked(reason Reason)
	// Received says how many transfers a batch had, and how many were new.
	Received(transfers, stored int)
}

// Receiver takes what a sister hands over. It is an http.Handler; see Server for
// the bounds to serve it with.
type Receiver struct {
	o        ReceiverOptions
	sessions *sessions
	draining atomic.Bool
	// storing bounds the batches that are in memory at once.
	storing chan struct{}
	mux     *http.ServeMux
}

// batchesAtOnce is how many batches may be in memory.
const batchesAtOnce = 2

// NewReceiver returns a Receiver that takes hand-overs until Drain.
func NewReceiver(o ReceiverOptions) *Receiver {
	r := &Receiver{o: o, sessions: newSessions(o.Now), storing: make(chan struct{}, batchesAtOnce), mux: http.NewServeMux()}
	r.mux.HandleFunc("POST "+beginPath, func(w http.ResponseWriter, req *http.Request) { r.answer(w, req, r.begin) })
	r.mux.HandleFunc("POST "+batchPath, func(w http.ResponseWriter, req *http.Request) { r.answer(w, req, r.batch) })
	return r
}

// Drain refuses everything from now on. A batch that is being stored is
// acknowledged still.
func (r *Receiver) Drain() { r.draining.Store(true) }

// ServeHTTP answers a sister.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// answer writes what a request is granted, or the refusal.
func (r *Receiver) answer(w http.ResponseWriter, req *http.Request, handle func(*http.Request) (any, error)) {
	granted, err := handle(req)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	var ref refusal
	switch {
	case err == nil:
	case errors.As(err, &ref):
		r.asked(ref.Reason)
		w.Header().Set("Connection", "close") // a stranger's body is not read
		w.WriteHeader(ref.Reason.status())
		granted = ref
	default:
		r.o.Logger.Error("A hand-over from a sister was refused", "err", err)
		r.asked(Failed)
		w.WriteHeader(Failed.status())
		granted = refusal{Failed}
	}
	_ = json.NewEncoder(w).Encode(granted) // the sister is gone if this fails, and asks again
}

func (r *Receiver) asked(reason Reason) {
	if r.o.Observer != nil {
		r.o.Observer.Asked(reason)
	}
}

// begin answers a hello. It is checked in full before anything is told or kept.
func (r *Receiver) begin(req *http.Request) (any, error) {
	var h hello
	if decodeMessage(req.Body, &h) != nil || !h.wellFormed() {
		return nil, refusal{Malformed}
	}
	if h.Namespace != r.o.Endpoint.Namespace || h.Name != r.o.Endpoint.Name {
		return nil, refusal{Foreign}
	}
	k, err := r.agree(&h)
	if err != nil {
		return nil, err
	}
	if off := r.o.Now().Sub(time.UnixMilli(h.Time)).Abs(); off > tolerance {
		return nil, refusal{Stale}
	}
	if reason := r.sessions.fresh(h.Nonce); reason == Repeated {
		return nil, refusal{reason}
	} else if reason != "" {
		return r.welcome(&h, k, reason)
	}
	return r.welcome(&h, k, r.unwilling())
}

// agree returns the first of our keys that the sender has proven to hold.
func (r *Receiver) agree(h *hello) (key, error) {
	own, err := keys(r.o.Endpoint, r.o.Secrets())
	if errors.Is(err, ErrNoSecret) {
		return key{}, refusal{NotReady}
	}
	if err != nil {
		return key{}, err
	}
	for _, k := range own {
		for _, u := range h.Keys {
			if bytes.Equal(u.ID, k.id[:]) && hmac.Equal(u.Proof, h.prove(k)) {
				return k, nil
			}
		}
	}
	return key{}, refusal{Unproven}
}

// unwilling says why nothing is taken now; empty if something is.
func (r *Receiver) unwilling() Reason {
	switch {
	case r.draining.Load():
		return Draining
	case r.o.NotReady() != nil:
		return NotReady
	}
	return ""
}

// welcome opens a session unless there is a reason against it.
func (r *Receiver) welcome(h *hello, k key, reason Reason) (any, error) {
	w := welcome{Nonce: make([]byte, nonceSize), Key: k.id[:], Reason: reason}
	_, _ = rand.Read(w.Nonce) // never fails
	if reason == "" {
		s, err := r.sessions.open(k.secret, h.Nonce, w.Nonce)
		if err != nil {
			return nil, err
		}
		if s != nil {
			w.Accepted, w.Session, w.Limit = true, s.id[:], r.limit()
		} else {
			w.Reason = Busy
		}
	}
	w.Proof = w.prove(k.secret, h.Nonce)
	r.asked(w.Reason)
	return w, nil
}

// batchHead is what a batch's headers say.
type batchHead struct {
	session, digest, proof []byte
	number                 uint64
}

func readHead(h http.Header) (*batchHead, bool) {
	out := batchHead{session: field(h, sessionHeader), digest: field(h, digestHeader), proof: field(h, proofHeader)}
	var err error
	out.number, err = strconv.ParseUint(h.Get(batchHeader), 10, 64)
	return &out, err == nil && len(out.session) == sessionSize && len(out.digest) == sha256.Size && len(out.proof) == sha256.Size
}

func field(h http.Header, name string) []byte {
	b, err := base64.StdEncoding.DecodeString(h.Get(name))
	if err != nil {
		return nil
	}
	return b
}

// batch stores a batch and returns its receipt.
func (r *Receiver) batch(req *http.Request) (any, error) {
	head, ok := readHead(req.Header)
	if !ok {
		return nil, refusal{Malformed}
	}
	s := r.sessions.find(head.session)
	if s == nil || !s.proven(head) {
		return nil, refusal{Unproven}
	}
	if req.ContentLength < 0 || req.ContentLength > r.limit() {
		return nil, refusal{TooLarge}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last > 0 && head.number == s.last && bytes.Equal(head.digest, s.sum[:]) {
		return s.what, nil
	}
	if s.over || head.number != s.last+1 {
		return nil, refusal{Disorder}
	}
	if reason := r.unwilling(); reason != "" {
		return nil, refusal{reason}
	}
	return r.take(req, s, head)
}

// limit is how large a batch may be: an event over the usual size goes alone.
func (r *Receiver) limit() int64 { return max(maxBatch, r.o.MaxBody()) + maxAround }

// take reads and stores the session's next batch.
func (r *Receiver) take(req *http.Request, s *session, head *batchHead) (any, error) {
	select {
	case r.storing <- struct{}{}:
		defer func() { <-r.storing }()
	case <-req.Context().Done():
		return nil, refusal{Busy}
	}
	body := make([]byte, req.ContentLength)
	if _, err := io.ReadFull(req.Body, body); err != nil {
		return nil, refusal{Malformed}
	}
	if sum := sha256.Sum256(body); !hmac.Equal(sum[:], head.digest) {
		return nil, refusal{Unproven}
	}
	batch, err := decode(body)
	if err != nil {
		return nil, refusal{Malformed}
	}
	stored, err := r.store(req.Context(), batch)
	if err != nil {
		return nil, err
	}
	s.last, s.sum = head.number, [sha256.Size]byte(head.digest)
	s.what = receipt{Stored: uint64(stored), Ack: s.keys.ack(s.id[:], head.number, head.digest, uint64(stored))}
	if s.over = len(batch) == 0; s.over {
		r.sessions.end(s)
	}
	r.sessions.touch(s)
	r.asked("")
	return s.what, nil
}

func (r *Receiver) store(ctx context.Context, batch []queue.Transfer) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	n, err := r.o.Receive(ctx, batch)
	if err == nil {
		if r.o.Observer != nil {
			r.o.Observer.Received(len(batch), n)
		}
		return n, nil
	}
	if reason := reasonOf(err); reason != Failed {
		return 0, refusal{reason}
	}
	return 0, fmt.Errorf("storing %d transfers: %w", len(batch), err)
}
