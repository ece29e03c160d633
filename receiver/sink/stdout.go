package sink

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/receiver/event"
)

// stdoutSink prints each event as a CloudEvent in structured mode, one per line.
// A body that can stand in the line as it is, byte for byte, is its data: valid
// JSON, sent as JSON, in UTF-8, without line breaks and without space around it.
// Any other body is its data_base64.
type stdoutSink struct {
	w          io.Writer
	turn       chan struct{} // holds one token: whoever takes it may write
	source     string
	typePrefix string
}

var (
	errNoOutput = errors.New("there is no output to print to")
	errOutput   = errors.New("the output did not take the line")
)

// outputCause keeps what the system says, and nothing else of a writer's error.
func outputCause(err error) error {
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return n
	}
	return errOutput
}

func newStdout(o Options) *stdoutSink {
	s := &stdoutSink{w: o.Stdout, turn: make(chan struct{}, 1), source: o.Source, typePrefix: o.TypePrefix}
	s.turn <- struct{}{}
	return s
}

// Deliver implements Sink. When ctx ends while the line is being written, the
// line is written to its end all the same: a half line would spoil the next one.
func (s *stdoutSink) Deliver(ctx context.Context, e *event.Event, attempt int) error {
	if s.w == nil {
		return errNoOutput
	}
	if err := ctx.Err(); err != nil { // a select may overlook it
		return fmt.Errorf("printing event: %w", err)
	}
	line := s.line(e, attempt)
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting to print event: %w", ctx.Err())
	case <-s.turn:
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.w.Write(line)
		s.turn <- struct{}{}
		done <- err
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("printing event: %w", ctx.Err())
	case err := <-done:
		if err != nil {
			return fmt.Errorf("printing event: %w", outputCause(err))
		}
		return nil
	}
}

// Close implements Sink.
func (s *stdoutSink) Close() error { return nil }

func (s *stdoutSink) line(e *event.Event, attempt int) []byte {
	b := make([]byte, 0, len(e.Body)*4/3+512)
	b = append(b, `{"specversion":"`+specVersion+`"`...)
	contentType := ceContentType(e)
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", s.source}, {"type", s.typePrefix + e.Type}, {"subject", e.Subject},
		{"time", ceTime(e)}, {"datacontenttype", contentType}, {extensionReplay, e.Replay},
	} {
		if a.value != "" {
			b = append(b, `,"`+a.name+`":`...)
			b = appendString(b, a.value)
		}
	}
	if attempt > 1 {
		b = append(b, `,"`+extensionAttempt+`":`...)
		b = strconv.AppendInt(b, int64(attempt), 10)
	}
	if spliceable(e.Body, contentType) {
		b = append(b, `,"data":`...)
		b = append(b, e.Body...)
	} else {
		b = append(b, `,"data_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Body)
		b = append(b, '"')
	}
	return append(b, "}\n"...)
}

func spliceable(body []byte, contentType string) bool {
	return isJSONType(contentType) && !bytes.ContainsAny(body, "\r\n") &&
		len(bytes.TrimSpace(body)) == len(body) && utf8.Valid(body) && json.Valid(body)
}

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // a string always has a JSON form
	}
	return append(b, quoted...)
}
