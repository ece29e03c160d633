package sink

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer     = 2048     // of the answer, kept with a failure
	maxDrain      = 64 << 10 // of the answer, read so that the connection can be used again
	maxRetryAfter = 24 * time.Hour
)

// take turns an answer into the attempt's outcome, and closes its body. A 2xx
// counts when its headers are there. 408, 425, 429 and 5xx ask for another
// attempt. Everything else, redirects included, would be answered in the same
// way again.
func take(resp *http.Response, now time.Time) error {
	defer resp.Body.Close()
	code := resp.StatusCode
	if code/100 == 2 {
		drain(resp.Body)
		return nil
	}
	e := &Error{
		Err:       fmt.Errorf("sink answered %d", code),
		Permanent: code/100 != 5 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests,
	}
	if code < 200 { // 101: the body is the connection itself
		return e
	}
	e.Answer = beginning(resp.Body)
	drain(resp.Body)
	if !e.Permanent {
		e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
		e.Busy = code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
	}
	return e
}

// beginning reads at most maxAnswer bytes, and as many as there are.
func beginning(body io.Reader) []byte {
	b, _ := io.ReadAll(io.LimitReader(body, maxAnswer)) // an answer that breaks off is kept as far as it goes
	return b
}

// drain reads what is left of an answer, within bounds: a connection is used
// again only when its answer has been read.
func drain(body io.Reader) {
	if body != http.NoBody {
		_, _ = io.CopyN(io.Discard, body, maxDrain) // an error closes the connection, which is all there is to do
	}
}

// retryAfter reads a Retry-After header: seconds, or a date. What is malformed,
// past or negative is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if strings.Trim(value, "0123456789") == "" { // more digits than a number has
		return maxRetryAfter
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
