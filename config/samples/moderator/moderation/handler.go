// Package moderation answers synchronous hooks: it lets what users write pass,
// masks words in it, or refuses it.
//
// Fairlead has verified a request before it comes here, and gives the answer's
// status and body to the provider as they are. An answer that is no success, too
// late or not JSON is replaced by what the endpoint's onFailure says: so whatever
// cannot be judged here is an error, and never a guess.
package moderation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

// MaxBody bounds what is read of a request, in bytes. Fairlead passes on at most
// spec.limits.maxBodyBytes, which is 1 MiB unless it is set.
const MaxBody = 1 << 20

// DefaultRefusal is what a user is told unless the rules say otherwise.
const DefaultRefusal = "This message did not meet our guidelines."

// Rules say what is done with what users write. Words are compared whole, and
// without regard to case.
type Rules struct {
	// Mask lists words that are replaced by asterisks.
	Mask []string
	// Refuse lists words for which the whole is refused.
	Refuse []string
	// Refusal is what the user is told then; empty means DefaultRefusal.
	Refusal string
}

// answer is what was decided, and the body that says so to the provider.
type answer struct {
	decision string // passed, rewritten or refused; for the log
	body     any
}

// hook judges a request's body. An error means that it cannot be judged.
type hook func(body []byte) (answer, error)

// errBody means that a body is not what the provider documents.
var errBody = errors.New("the body has not the shape that the provider documents")

// New returns a handler of three hooks, each at a path of its own, for the URLs of
// the endpoint's responders:
//
//	/before-message-send  Stream Chat, messages that are to be sent
//	/custom-commands      Stream Chat, the command /echo
//	/pre-hook             social.plus, whatever users write
//
// /healthz is for probes. Nothing that users write is logged.
func New(rules Rules, log *slog.Logger) http.Handler {
	if rules.Refusal == "" {
		rules.Refusal = DefaultRefusal
	}
	j := &judge{mask: newWords(rules.Mask), refuse: newWords(rules.Refuse), refusal: rules.Refusal}
	mux := http.NewServeMux()
	mux.Handle("POST /before-message-send", serve("before-message-send", j.message, log))
	mux.Handle("POST /custom-commands", serve("custom-commands", j.command, log))
	mux.Handle("POST /pre-hook", serve("pre-hook", j.preHook, log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// serve reads a request, has it judged, and answers.
func serve(name string, judge hook, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		// Fairlead tells each event's id, type and source in headers that begin with Ce-.
		log := log.With("hook", name, "id", r.Header.Get("Ce-Id"), "type", r.Header.Get("Ce-Type"))
		body, status := read(w, r)
		if status != http.StatusOK {
			log.Error("request not read", "status", status)
			http.Error(w, http.StatusText(status), status)
			return
		}
		a, err := judge(body)
		if err != nil {
			log.Error("request not judged", "err", err)
			http.Error(w, "the request cannot be judged", http.StatusBadRequest)
			return
		}
		log.Info("answered", "decision", a.decision, "took", time.Since(start).String())
		write(w, a.body, log)
	})
}

// read returns the body, and the status to answer if there is none to judge.
func read(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body, http.StatusOK
}

// write answers with status 200: at any other, Stream would let a message pass
// that is refused here.
func write(w http.ResponseWriter, v any, log *slog.Logger) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		log.Error("answer not made", "err", err)
		http.Error(w, "the answer cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Bytes()) // the receiver is gone if this fails, and needs no answer
}
