package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

// answer is what became of one request.
type answer struct {
	ID           string        `json:"id,omitempty"`
	Type         string        `json:"type,omitempty"`
	Status       int           `json:"status,omitempty"`
	Took         time.Duration `json:"-"`
	Milliseconds float64       `json:"milliseconds"`
	// Body is the beginning of the answer's body on one line; all of it if the
	// provider acts on it.
	Body  string `json:"body,omitempty"`
	Error string `json:"error,omitempty"`
	// Hint says what to look at.
	Hint string `json:"hint,omitempty"`
	// Verdict says what the provider does with the answer of a synchronous hook.
	Verdict *play.Verdict `json:"verdict,omitempty"`
	Right   bool          `json:"right"`

	deadline time.Duration
}

// send sends one request and waits for the answer.
func (s *sender) send(ctx context.Context, r *play.Request) answer {
	a := answer{ID: r.ID, Type: r.Type, deadline: s.deadline}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var connected atomic.Bool
	req, err := r.HTTP(watchConnect(ctx, &connected), s.url)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	start := s.now()
	resp, err := s.client.Do(req)
	var body []byte
	if err == nil {
		body, err = s.read(resp)
		a.Status = resp.StatusCode
	}
	a.Took = s.now().Sub(start)
	a.Milliseconds = milliseconds(a.Took)
	if err != nil {
		a.Status, a.Error, body = 0, cause(err), nil
	}
	a.Right = err == nil && s.right(a.Status)
	s.consider(&a, r, body)
	s.hint(&a, body, err, connected.Load())
	return a
}

// watchConnect has told whether a connection stood.
func watchConnect(ctx context.Context, connected *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) { connected.CompareAndSwap(false, err == nil) },
		GotConn:     func(httptrace.GotConnInfo) { connected.Store(true) },
	})
}

// read reads as much of an answer as is wanted.
func (s *sender) read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close() // what is left of it is not wanted
	most := int64(maxAnswer)
	if s.judge != nil {
		most = maxHookAnswer
	}
	return io.ReadAll(io.LimitReader(resp.Body, most))
}

// consider puts down the body, and what the provider makes of it.
func (s *sender) consider(a *answer, r *play.Request, body []byte) {
	if s.judge == nil {
		a.Body = printable(body)
		return
	}
	a.Body = strings.ToValidUTF8(string(body), "?")
	v := s.judge(r, play.Answer{Status: a.Status, Body: body, Took: a.Took})
	a.Verdict = &v
	success := a.Status >= 200 && a.Status <= 299
	switch {
	case !a.Right || !success: // a forgery was refused, say
	case !v.Usable, s.wanted != "" && !strings.EqualFold(s.wanted, string(v.Effect)):
		a.Right = false
	}
}

// hint says what to look at when an answer is not the right one.
func (s *sender) hint(a *answer, body []byte, err error, connected bool) {
	switch {
	case a.Right || s.hints == nil:
	case err != nil:
		a.Hint = s.hints.ofError(err, connected)
	default:
		a.Hint = s.hints.of(a.Status, body)
	}
}

func (a *answer) print(w io.Writer) {
	mark := "ok"
	if !a.Right {
		mark = "WRONG"
	}
	about := fmt.Sprintf("%-5s %s %s", mark, a.Type, a.ID)
	switch {
	case a.Error != "":
		fmt.Fprintf(w, "%s: %s: %s\n", about, noAnswer, a.Error)
	case a.Verdict == nil:
		fmt.Fprintf(w, "%s: %d in %.1f ms: %s\n", about, a.Status, a.Milliseconds, a.Body)
	default:
		fmt.Fprintf(w, "%s: %d in %.1f ms%s\n%s", about, a.Status, a.Milliseconds, a.patience(), pretty(a.Body))
	}
	if v := a.Verdict; v != nil {
		note := ""
		if !v.Documented && v.Effect != play.Unknown {
			note = " (to be expected; not documented)"
		}
		fmt.Fprintf(w, "      %s: %s%s.\n", v.Effect, v.Why, note)
	}
	if a.Hint != "" {
		fmt.Fprintf(w, "      Hint: %s.\n", a.Hint)
	}
}

// patience says how long the provider waits.
func (a *answer) patience() string {
	if a.deadline == 0 {
		return ""
	}
	return fmt.Sprintf(", and the provider waits %s", a.deadline)
}

// pretty returns a body on lines of its own: indented if it is JSON, and without
// what could upset a terminal.
func pretty(body string) string {
	const margin = "      "
	var b bytes.Buffer
	if json.Indent(&b, []byte(strings.TrimSpace(body)), margin, "  ") != nil {
		if line := printable([]byte(body)); line != "" {
			return margin + line + "\n"
		}
		return ""
	}
	lines := strings.Split(margin+b.String(), "\n")
	if len(lines) > shownLines {
		lines = append(lines[:shownLines], margin+"…")
	}
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// printable returns the beginning of an answer's body on one line.
func printable(body []byte) string {
	text := strings.TrimSpace(clean(strings.ToValidUTF8(string(body), "?")))
	if len(text) > shownAnswer {
		text = strings.ToValidUTF8(text[:shownAnswer], "") + "…"
	}
	return text
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// cause drops the URL from a client's error: it may hold a token.
func cause(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "none came in time"
	}
	return err.Error()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
