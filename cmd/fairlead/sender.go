package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

const (
	// maxLines is how many answers are printed one by one; more are only summed up.
	maxLines = 50
	// maxAnswer is how much of an answer's body is looked at.
	maxAnswer = 4 << 10
	// shownAnswer is how much of it is printed.
	shownAnswer = 200
	// noAnswer stands in the place of a status.
	noAnswer = "no answer"
	// progressEvery is how often progress is shown.
	progressEvery = time.Second
)

// sender sends requests and sums up the answers.
type sender struct {
	client         *http.Client
	url            string
	timeout        time.Duration
	count, workers int
	copies         int                              // of each request, at once
	next           func(int) (*play.Request, error) // makes request i
	right          func(status int) bool            // judges an answer
	seen           func(*answer)                    // is told of each, one at a time; may be nil
	now            func() time.Time

	taken, done atomic.Int64
	mu          sync.Mutex // guards all below, and calls of seen
	answers     []answer
	err         error
}

// answer is what became of one request.
type answer struct {
	ID     string        `json:"id,omitempty"`
	Type   string        `json:"type,omitempty"`
	Status int           `json:"status,omitempty"`
	Took   time.Duration `json:"-"`
	Body   string        `json:"body,omitempty"`
	Error  string        `json:"error,omitempty"`
	Right  bool          `json:"right"`
}

// summary is what became of all.
type summary struct {
	Sent    int            `json:"sent"`
	Wrong   int            `json:"wrong"`
	Answers map[string]int `json:"answers"` // by status
	P50     float64        `json:"p50Milliseconds"`
	P99     float64        `json:"p99Milliseconds"`
	Rate    float64        `json:"requestsPerSecond"`
	Seconds float64        `json:"seconds"`
	// Each is every answer, if they are few.
	Each []answer `json:"each,omitempty"`
}

// run sends until all is sent or ctx ends. An error means that a request could
// not be made.
func (s *sender) run(ctx context.Context) (*summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := s.now()
	var wg sync.WaitGroup
	for range s.workers {
		wg.Go(func() {
			if err := s.work(ctx); err != nil {
				s.mu.Lock()
				s.err = err
				s.mu.Unlock()
				cancel()
			}
		})
	}
	wg.Wait()
	if s.err != nil {
		return nil, s.err
	}
	return s.summary(s.now().Sub(start)), nil
}

func (s *sender) work(ctx context.Context) error {
	for ctx.Err() == nil {
		i := s.taken.Add(1) - 1
		if i >= int64(s.count) {
			return nil
		}
		r, err := s.next(int(i))
		if err != nil {
			return fmt.Errorf("making request %d: %w", i+1, err)
		}
		var wg sync.WaitGroup
		for range s.copies {
			wg.Go(func() { s.record(ctx, s.send(ctx, r)) })
		}
		wg.Wait()
	}
	return nil
}

// send sends one request and waits for the answer.
func (s *sender) send(ctx context.Context, r *play.Request) answer {
	a := answer{ID: r.ID, Type: r.Type}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := r.HTTP(ctx, s.url)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	start := s.now()
	resp, err := s.client.Do(req)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close() // what is left of it is not wanted
		a.Status, a.Body = resp.StatusCode, printable(body)
	}
	a.Took = s.now().Sub(start)
	if err != nil {
		a.Status, a.Error = 0, cause(err)
	}
	a.Right = err == nil && s.right(a.Status)
	return a
}

// record keeps an answer; one that was cut off by the end of ctx is none.
func (s *sender) record(ctx context.Context, a answer) {
	if ctx.Err() != nil && a.Error != "" {
		return
	}
	s.done.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil {
		s.seen(&a)
	}
	if len(s.answers) >= maxLines { // only what is summed up is kept
		a.ID, a.Type, a.Body, a.Error = "", "", "", ""
	}
	s.answers = append(s.answers, a)
}

func (s *sender) summary(took time.Duration) *summary {
	sum := &summary{Sent: len(s.answers), Answers: map[string]int{}, Seconds: took.Seconds()}
	var times []time.Duration
	for i := range s.answers {
		a := &s.answers[i]
		if !a.Right {
			sum.Wrong++
		}
		if a.Status == 0 {
			sum.Answers[noAnswer]++
			continue
		}
		sum.Answers[strconv.Itoa(a.Status)]++
		times = append(times, a.Took)
	}
	slices.Sort(times)
	sum.P50, sum.P99 = quantile(times, 50), quantile(times, 99)
	if took > 0 {
		sum.Rate = float64(sum.Sent) / took.Seconds()
	}
	if s.count*s.copies <= maxLines {
		sum.Each = s.answers
	}
	return sum
}

// quantile returns the percentile of sorted times in milliseconds, by nearest
// rank; 0 if there are none.
func quantile(times []time.Duration, percent int) float64 {
	if len(times) == 0 {
		return 0
	}
	rank := (len(times)*percent + 99) / 100
	return float64(times[rank-1]) / float64(time.Millisecond)
}

func (s *summary) print(w io.Writer) {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(s.Answers)) {
		parts = append(parts, fmt.Sprintf("%s: %d", status, s.Answers[status]))
	}
	fmt.Fprintf(w, "%d sent (%s), p50 %.1f ms, p99 %.1f ms, %.0f/s\n", s.Sent, strings.Join(parts, ", "), s.P50, s.P99, s.Rate)
}

func (a *answer) print(w io.Writer) {
	mark := "ok"
	if !a.Right {
		mark = "WRONG"
	}
	if a.Error != "" {
		fmt.Fprintf(w, "%-5s %s %s: %s: %s\n", mark, a.Type, a.ID, noAnswer, a.Error)
		return
	}
	fmt.Fprintf(w, "%-5s %s %s: %d in %.1f ms: %s\n", mark, a.Type, a.ID, a.Status, float64(a.Took)/float64(time.Millisecond), a.Body)
}

// showProgress prints how many are done, until the returned function is called.
func (s *sender) showProgress(ctx context.Context, w io.Writer) func() {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				fmt.Fprintf(w, "%d of %d answered\n", s.done.Load(), s.count*s.copies)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// printable returns the beginning of an answer's body on one line.
func printable(body []byte) string {
	text := strings.TrimSpace(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(body), "?")))
	if len(text) > shownAnswer {
		text = strings.ToValidUTF8(text[:shownAnswer], "") + "…"
	}
	return text
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
