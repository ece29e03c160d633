package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const (
	// One call of an import takes so much, so that it is over soon and can be made
	// again.
	importBytes = 1 << 20
	importLines = 500
	maxLine     = 256 << 20
)

// Import sends lines of an export to a receiver, waiting while that has no room.
// What it returns counts all that was done, also beside an error. When ctx ends,
// the lines under way are finished, and the error is ErrStopped.
func (c *Client) Import(ctx context.Context, from io.Reader, p *Progress, now func() time.Time) (*v1.Imported, error) {
	sum, in, began := &v1.Imported{}, bufio.NewReaderSize(from, 64<<10), now()
	for {
		chunk, end, err := readChunk(in, sum.Lines)
		if err != nil {
			return sum, err
		}
		for len(chunk) > 0 {
			if ctx.Err() != nil {
				return sum, ErrStopped
			}
			wait, err := c.importSome(context.WithoutCancel(ctx), &chunk, sum)
			if err != nil {
				return sum, err
			}
			p.show(sum.Lines, sum.Lines+len(chunk), now().Sub(began), waitingFor(wait))
			if !pause(ctx, wait) && len(chunk) > 0 {
				return sum, ErrStopped
			}
		}
		if end {
			return sum, nil
		}
	}
}

func waitingFor(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return "there is no room for more dead letters"
}

// readChunk reads some lines, with their ends.
func readChunk(in *bufio.Reader, before int) (lines [][]byte, end bool, err error) {
	size := 0
	for size < importBytes && len(lines) < importLines {
		line, err := readLine(in)
		if len(line) > 0 {
			size += len(line)
			lines = append(lines, line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return lines, true, nil
		case err != nil:
			return nil, false, fmt.Errorf("reading line %d: %w", before+len(lines)+1, err)
		}
	}
	return lines, false, nil
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("it is longer than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// importSome sends lines, and drops from them those that were dealt with. wait is
// how long to wait with the others.
func (c *Client) importSome(ctx context.Context, lines *[][]byte, sum *v1.Imported) (wait time.Duration, err error) {
	var body []byte
	for _, l := range *lines {
		body = append(body, l...)
	}
	var done v1.Imported
	err = c.call(ctx, http.MethodPost, "/v1/deadletters/import", nil, "application/jsonl", body, &done)
	var said *Error
	if errors.As(err, &said) && json.Unmarshal(said.body, &done) == nil {
		if said.RetryAfter > 0 {
			wait, err = said.RetryAfter, nil
		}
	}
	done.Lines = min(done.Lines, len(*lines))
	add(sum, &done)
	*lines = (*lines)[done.Lines:]
	return wait, err
}

// add adds what one call did to the sum of all.
func add(sum, done *v1.Imported) {
	for _, e := range done.Errors {
		if len(sum.Errors) < maxErrors {
			sum.Errors = append(sum.Errors, v1.LineError{Line: sum.Lines + e.Line, Error: e.Error})
		}
	}
	sum.Lines += done.Lines
	sum.Stored += done.Stored
	sum.Known += done.Known
	sum.Refused += done.Refused
}

// maxErrors bounds the errors that are told of.
const maxErrors = 100
