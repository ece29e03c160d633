package sinktest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// noSecretTold lets attempts fail in every way, and looks for what the sink and
// the event hold in the errors, however they are printed, and in the logs of the
// process.
func noSecretTold(t *testing.T, f *Fixture) {
	logged := captureLogs(t)
	e := newEvent("event-id-7f3a")
	e.Body = []byte(`{"text":"body-41d8e0"}`)
	e.Headers = append(e.Headers, event.Header{Name: "X-Signature", Value: "header-99c2b1"})
	secrets := append([]string{"body-41d8e0", "header-99c2b1"}, f.Secrets...)

	for _, b := range []Behaviour{RefuseForNow, RefuseForGood, Hang, Gone} {
		if !f.Behave(b) {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := f.Sink.Deliver(ctx, e, 1)
		cancel()
		if err == nil {
			t.Errorf("behaviour %d: the event was taken", b)
			continue
		}
		CheckNoSecret(t, err, secrets...)
	}
	checkText(t, "the log", logged(), secrets)
}

// CheckNoSecret fails the test if one of the secrets shows in an error, or in
// one that it wraps, however it is printed.
func CheckNoSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, e := range tree(err) {
		for _, format := range []string{"%v", "%+v", "%#v"} {
			checkText(t, "error "+fmt.Sprintf("%T", e)+" as "+format, fmt.Sprintf(format, e), secrets)
		}
	}
}

func checkText(t *testing.T, what, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("%s tells the secret %q: %s", what, s, text)
		}
	}
}

// tree returns an error and all that it wraps.
func tree(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, tree(e)...)
		}
		return all
	}
	return append(all, tree(errors.Unwrap(err))...)
}

// captureLogs collects what goes to the process's loggers until the test ends.
func captureLogs(t *testing.T) func() string {
	var b Log
	logger, out, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	log.SetOutput(&b)
	t.Cleanup(func() {
		slog.SetDefault(logger)
		log.SetOutput(out)
		log.SetFlags(flags)
	})
	return b.String
}
