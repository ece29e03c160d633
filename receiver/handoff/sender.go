package handoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/queue"
)

var (
	// ErrNoSister means that there was nobody to hand over to until the time was
	// up: none was found, or each refused or did not answer.
	ErrNoSister = errors.New("no sister takes what is left")
	// ErrNotTaken means that every sister was asked, and some transfers were taken
	// by none: their sinks are unknown there, or they are over a limit, or their
	// events cannot be read.
	ErrNotTaken = errors.New("some of what is left is taken by no sister")
)

// Options are what HandOver works with. All are needed but Dial and Observer.
type Options struct {
	Endpoint Endpoint
	// Secrets are those that are in use.
	Secrets []Secret
	// Unfinished and Forget are those of queue.Transfers.
	Unfinished func(func(*queue.Transfer) bool) error
	Forget     func(context.Context, []queue.Transfer) error
	// Sisters returns where they are now.
	Sisters func(context.Context) ([]netip.AddrPort, error)
	// Dial connects; nil means a net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Observer is told of each batch; nil means nobody.
	Observer SenderObserver
	Logger   *slog.Logger
	Now      func() time.Time
}

// SenderObserver is told what becomes of what a sender does.
type SenderObserver interface {
	// Sent says what became of one request to a sister.
	Sent(outcome SentOutcome)
}

// SentOutcome is what becomes of a request to a sister. It is a label of a metric.
type SentOutcome string

// The outcomes.
const (
	Acknowledged SentOutcome = "acknowledged" // and the ack is proven
	Refused      SentOutcome = "refused"      // the sister said why
	Unanswered   SentOutcome = "unanswered"   // nothing came, or nothing that can be understood
	Forged       SentOutcome = "forged"       // the proof was wrong
)

// SentOutcomes lists every outcome.
func SentOutcomes() []SentOutcome { return []SentOutcome{Acknowledged, Refused, Unanswered, Forged} }

// Result says what was handed over.
type Result struct {
	// Deliveries and DeadLetters were acknowledged, and are forgotten.
	Deliveries, DeadLetters int
	// Known counts the transfers that a sister knew already.
	Known int
}

// HandOver moves all that is unfinished to sisters, until ctx ends: to the first
// that takes it, and when she ceases to, to the next. Nothing may lease from the
// queue meanwhile. What was not acknowledged with a proof is still in the queue
// when it returns, and the error says why.
func HandOver(ctx context.Context, o Options) (Result, error) {
	own, err := keys(o.Endpoint, o.Secrets)
	if err != nil {
		return Result{}, fmt.Errorf("handing over: %w", err)
	}
	s := &sender{o: o, keys: own, passed: map[netip.AddrPort]time.Time{}, told: map[netip.AddrPort]string{}}
	transport := newTransport(o.Dial)
	defer transport.CloseIdleConnections()
	s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	err = s.run(ctx)
	s.leave(ctx)
	if err != nil {
		err = fmt.Errorf("handing over: %w", err)
	}
	return s.result, err
}

func newTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes, Protocols: onlyHTTP1()}
}

func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// sender is one hand-over.
type sender struct {
	o      Options
	keys   []key
	client *http.Client
	sister *sister // nil: none at the moment
	result Result

	batch   []queue.Transfer // gathered
	bytes   int              // about the size of the batch
	skipped int              // transfers of this pass that the sister could not take
	// passed says until when a sister is left alone that refused or did not answer;
	// useless are those that do not know a sink.
	passed  map[netip.AddrPort]time.Time
	told    map[netip.AddrPort]string // the log has been told
	useless []netip.AddrPort
	last    error // why the last sister was of no use
}

// run goes through the queue, again with another sister if one did not know a
// sink.
func (s *sender) run(ctx context.Context) error {
	for {
		s.skipped = 0
		if err := s.pass(ctx); err != nil {
			return err
		}
		if s.skipped == 0 {
			return nil
		}
		if s.sister == nil {
			return ErrNotTaken
		}
		s.useless = append(s.useless, s.sister.addr)
		s.leave(ctx)
		if !s.another(ctx) {
			return fmt.Errorf("%w: %d transfers", ErrNotTaken, s.skipped)
		}
	}
}

// another reports whether there is a sister that may yet know all sinks.
func (s *sender) another(ctx context.Context) bool {
	addrs, err := s.o.Sisters(ctx)
	if err != nil && len(addrs) == 0 {
		return false
	}
	return slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return !slices.Contains(s.useless, a) })
}

// pass offers everything that is left once.
func (s *sender) pass(ctx context.Context) error {
	var failed error
	err := s.o.Unfinished(func(t *queue.Transfer) bool {
		failed = s.add(ctx, t)
		return failed == nil
	})
	if err == nil && failed == nil {
		failed = s.flush(ctx)
	}
	s.batch, s.bytes = nil, 0
	if err != nil {
		return errors.Join(failed, fmt.Errorf("reading what is left: %w", err))
	}
	return failed
}

// add gathers a transfer, and offers what is gathered when it is enough.
func (s *sender) add(ctx context.Context, t *queue.Transfer) error {
	if !transferable(t) {
		s.skipped++
		return nil
	}
	n := size(t)
	if len(s.batch) > 0 && (len(s.batch) == maxTransfers || s.bytes+n > maxBatch) {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch, s.bytes = append(s.batch, *t), s.bytes+n
	return nil
}
