package v1

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const (
	// A batch of an import is one sync.
	batchLines = 100
	batchBytes = 1 << 20
	// maxLineErrors bounds the errors that are told of.
	maxLineErrors = 100
	// lineOverhead is how much of a line is not the body.
	lineOverhead = 128 << 10
	maxReason    = 512
	maxAnswer    = 2048
	maxHeaders   = 64
	maxAttempts  = 1 << 20
)

// importer stores the lines of one import, batch by batch.
type importer struct {
	c       *call
	maxBody int64
	done    Imported
	// line is the number of the last line that was read; batch and wrong are what the
	// lines since the last batch hold.
	line  int
	batch []queue.Transfer
	bytes int
	wrong []LineError
}

// importDeadLetters answers POST /v1/deadletters/import: lines as an export writes
// them are stored as dead letters. It ends at the first batch that there is no room
// for; what was stored until then stays.
func (c *call) importDeadLetters() (any, error) {
	i := &importer{c: c, maxBody: c.ep.MaxBody()}
	in := bufio.NewReaderSize(c.r.Body, 64<<10)
	for {
		line, err := readLine(in, int(4*i.maxBody)+lineOverhead)
		switch {
		case errors.Is(err, io.EOF):
			return i.end(i.flush())
		case errors.Is(err, errLongLine):
			i.line++
			i.refuse(err)
		case err != nil:
			return i.end(badRequest("the body cannot be read to its end; send again what is behind the lines that were dealt with"))
		default:
			i.line++
			i.take(line)
		}
		if len(i.batch) >= batchLines || i.bytes >= batchBytes || len(i.wrong) >= batchLines {
			if err := i.flush(); err != nil {
				return i.end(err)
			}
		}
	}
}

// end returns the answer; with an error it says how far the import came.
func (i *importer) end(err error) (any, error) {
	if err == nil {
		return i.done, nil
	}
	p := *asProblem(err)
	i.done.Error = p.message
	p.body = i.done
	return nil, &p
}

func (i *importer) refuse(err error) {
	i.wrong = append(i.wrong, LineError{Line: i.line, Error: err.Error()})
}

// take adds a line to the batch. Empty lines are passed over.
func (i *importer) take(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	t, err := readLetter(line, i.maxBody)
	if err != nil {
		i.refuse(err)
		return
	}
	i.batch = append(i.batch, *t)
	i.bytes += len(line)
}

// flush stores the batch, and gives the call time for the next one.
func (i *importer) flush() error {
	i.c.extend()
	if len(i.batch) > 0 {
		ctx, cancel := context.WithTimeout(i.c.r.Context(), callTime)
		defer cancel()
		n, err := i.c.ep.Store.Receive(ctx, i.batch)
		if err != nil {
			return err
		}
		i.done.Stored += n
		i.done.Known += len(i.batch) - n
	}
	i.done.Lines = i.line
	i.done.Refused += len(i.wrong)
	room := max(0, maxLineErrors-len(i.done.Errors))
	i.done.Errors = append(i.done.Errors, i.wrong[:min(room, len(i.wrong))]...)
	i.batch, i.bytes, i.wrong = i.batch[:0], 0, i.wrong[:0]
	clear(i.batch[:cap(i.batch)]) // the bodies can go
	return nil
}

var errLongLine = errors.New("the line is longer than the endpoint's largest body allows")

// readLine returns the next line without its end; a copy. Of one that is too long
// nothing is kept.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > most; !long {
			line = append(line, part...)
		} else {
			line = nil
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(line) > 0 || long):
			err = nil // the next call tells of the end
		}
		if err == nil && long {
			err = errLongLine
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

// readLetter reads one line of an export. Whatever it returns fits into a queue.
func readLetter(line []byte, maxBody int64) (*queue.Transfer, error) {
	var l DeadLetter
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, errors.New(jsonTrouble(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the object; write one object a line")
	}
	body, err := l.body()
	if err == nil {
		err = l.check()
	}
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > maxBody:
		return nil, fmt.Errorf("its body has %d bytes, and the endpoint's spec.limits.maxBodyBytes is %d", len(body), maxBody)
	}
	return l.transfer(body), nil
}

// body returns the bytes that were signed.
func (l *DeadLetter) body() ([]byte, error) {
	switch {
	case l.Unreadable:
		return nil, errors.New("its event could not be read where it was exported; nothing is left to import")
	case l.DataBase64 != nil:
		return l.DataBase64, nil
	case l.Data != nil:
		return l.Data, nil
	case l.Text != "":
		return []byte(l.Text), nil
	}
	return nil, errors.New("it has no data; export it with its data_base64")
}

// check holds every field to the bounds that it would have had at intake.
func (l *DeadLetter) check() error {
	switch {
	case !isSinkName(l.Sink):
		return errors.New("sink is missing or is no name of one")
	case l.ID == "" || !isPlain(l.ID, event.MaxID):
		return fmt.Errorf("id is missing, longer than %d bytes, or has control characters", event.MaxID)
	case !isPlain(l.Type, event.MaxType), !isPlain(l.Subject, event.MaxSubject), !isPlain(l.DataContentType, 256), !isPlain(l.Hook, 64):
		return errors.New("type, subject, datacontenttype or hook is too long or has control characters")
	case l.Replay != "" && !IsReplayName(l.Replay):
		return errors.New("replay is not the name of one")
	case l.DeadAt.IsZero():
		return errors.New("deadAt is missing; it is by what a repeated import is recognised")
	case l.Attempts < 0 || l.Attempts > maxAttempts || l.Attempt < 0 || l.Attempt > maxAttempts:
		return errors.New("attempts or attempt is out of bounds")
	case len(l.Reason) > maxReason, len(l.Answer) > maxAnswer, len(l.AnswerBase64) > maxAnswer:
		return fmt.Errorf("reason is over %d or answer over %d bytes", maxReason, maxAnswer)
	}
	if _, err := time.Parse(time.RFC3339, l.Time); err != nil && l.Time != "" || len(l.Time) > 64 {
		return errors.New("time is not a time of RFC 3339")
	}
	return l.checkHeaders()
}

func (l *DeadLetter) checkHeaders() error {
	if len(l.Headers) > maxHeaders {
		return fmt.Errorf("there are %d headers; %d are the most", len(l.Headers), maxHeaders)
	}
	for _, h := range l.Headers {
		if h.Name == "" || !isPlain(h.Name, 256) || len(h.Value) > maxHeaderValue || strings.ContainsAny(h.Value, "\r\n\x00") {
			return errors.New("a header has no name, is too long, or has control characters")
		}
	}
	return nil
}

func (l *DeadLetter) transfer(body []byte) *queue.Transfer {
	e := &event.Event{ID: l.ID, Hook: l.Hook, Type: l.Type, Subject: l.Subject, Time: l.Time, Attempt: l.Attempt, ContentType: l.DataContentType,
		ReceivedAt: l.ReceivedAt, Replay: l.Replay, ReplayedAt: l.ReplayedAt, Body: body}
	if e.ReceivedAt.IsZero() {
		e.ReceivedAt = l.DeadAt
	}
	for _, h := range l.Headers {
		e.Headers = append(e.Headers, event.Header(h))
	}
	answer := l.AnswerBase64
	if l.Answer != "" {
		answer = []byte(l.Answer)
	}
	return &queue.Transfer{Event: e, Deliveries: []queue.TransferDelivery{{
		Sink: l.Sink, Attempts: l.Attempts, Dead: &queue.Death{Reason: l.Reason, Answer: answer, At: l.DeadAt}}}}
}

// isPlain reports whether s is UTF-8 of at most most bytes without control
// characters.
func isPlain(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
