package server

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// recovered tells of handlers that panic. The library would end the connection and
// say so where only clients' faults are said; that is a fault of ours.
func (s *process) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				s.panics.Inc()
				s.o.Logger.Error("A request ended in a panic, without an answer; please report it", "panic", nameOf(v), "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler) // ends the connection, and nothing else
		}()
		next.ServeHTTP(w, r)
	})
}

// nameOf says what a panic was about. Only the run time's own errors hold nothing of
// a request.
func nameOf(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}

// countPanics makes the metric of panics.
func (s *process) countPanics() error {
	s.panics = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "fairlead_receiver", Name: "panics_total",
		Help: "Requests that ended in a panic, without an answer: a fault of the receiver."})
	if s.o.Registerer == nil {
		return nil
	}
	if err := s.o.Registerer.Register(s.panics); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}
