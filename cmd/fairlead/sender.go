package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
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
	// maxHookAnswer is the same where the provider acts on the body: more than a
	// receiver takes from a responder.
	maxHookAnswer = 1 << 20
	// shownAnswer is how much of it is printed on a line, shownLines how many lines
	// there are where it has some to itself.
	shownAnswer = 200
	shownLines  = 60
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
	hook           string        // whose requests are sent; empty if none was named
	deadline       time.Duration // of the provider; 0 if it is not known
	hints          *hinter       // may be nil
	// judge says what the provider does with an answer, for synchronous hooks; nil
	// otherwise. wanted is what it must do: passes, rewritten or refused; empty
	// means that any will do.
	judge  func(*play.Request, play.Answer) play.Verdict
	wanted string

	taken, done atomic.Int64
	mu          sync.Mutex // guards all below, and calls of seen
	answers     []answer
	err         error
}

// summary is what became of all.
type summary struct {
	Hook    string         `json:"hook,omitempty"`
	Sent    int            `json:"sent"`
	Wrong   int            `json:"wrong"`
	Answers map[string]int `json:"answers"` // by status
	// Effects counts what the provider does with the answers of a synchronous hook.
	Effects map[play.Effect]int `json:"effects,omitempty"`
	// Deadline is how long the provider waits for one.
	Deadline float64 `json:"deadlineMilliseconds,omitempty"`
	P50      float64 `json:"p50Milliseconds"`
	P99      float64 `json:"p99Milliseconds"`
	Rate     float64 `json:"requestsPerSecond"`
	Seconds  float64 `json:"seconds"`
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
		a.ID, a.Type, a.Body, a.Error, a.Hint = "", "", "", "", ""
		if a.Verdict != nil {
			a.Verdict = &play.Verdict{Effect: a.Verdict.Effect}
		}
	}
	s.answers = append(s.answers, a)
}

func (s *sender) summary(took time.Duration) *summary {
	sum := &summary{Hook: s.hook, Sent: len(s.answers), Answers: map[string]int{}, Seconds: took.Seconds(), Deadline: milliseconds(s.deadline)}
	if s.judge != nil {
		sum.Effects = map[play.Effect]int{}
	}
	var times []time.Duration
	for i := range s.answers {
		a := &s.answers[i]
		if !a.Right {
			sum.Wrong++
		}
		if a.Verdict != nil {
			sum.Effects[a.Verdict.Effect]++
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
	return milliseconds(times[rank-1])
}

func (s *summary) print(w io.Writer) {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(s.Answers)) {
		parts = append(parts, fmt.Sprintf("%s: %d", status, s.Answers[status]))
	}
	for _, effect := range slices.Sorted(maps.Keys(s.Effects)) {
		parts = append(parts, fmt.Sprintf("%s: %d", strings.ToLower(string(effect)), s.Effects[effect]))
	}
	fmt.Fprintf(w, "%d sent (%s), p50 %.1f ms, p99 %.1f ms, %.0f/s\n", s.Sent, strings.Join(parts, ", "), s.P50, s.P99, s.Rate)
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
