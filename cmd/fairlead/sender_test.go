package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

func TestQuantile(t *testing.T) {
	ms := func(n ...int) []time.Duration {
		var all []time.Duration
		for _, v := range n {
			all = append(all, time.Duration(v)*time.Millisecond)
		}
		return all
	}
	for name, tt := range map[string]struct {
		times   []time.Duration
		percent int
		want    float64
	}{
		"none":         {nil, 50, 0},
		"one":          {ms(7), 99, 7},
		"median":       {ms(1, 2, 3, 4), 50, 2},
		"upper":        {ms(1, 2, 3, 4), 99, 4},
		"exactly 99 %": {ms(make([]int, 99)...), 99, 0},
	} {
		if got := quantile(tt.times, tt.percent); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"{}\n":            "{}",
		"a\x1b[31mb\r\nc": "a [31mb  c",
		"\xff":            "?",
		"\x00\x00":        "",
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	cut := printable([]byte(strings.Repeat("é", maxAnswer/2)))
	if len(cut) > shownAnswer+len("…") || !utf8.ValidString(cut) {
		t.Errorf("a long answer is cut to %d bytes, want at most %d and whole characters", len(cut), shownAnswer)
	}
}

// TestSenderStops holds that nothing goes on after the end of the context, and
// that what was cut off is counted neither as right nor as wrong.
func TestSenderStops(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	var hits atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hits.Add(1) == 5 {
			cancel()
			<-r.Context().Done()
		}
	}))
	client := server.Client()
	s := &sender{
		client: client, url: server.URL, timeout: time.Minute, count: maxCount, workers: 1, copies: 1, now: time.Now,
		next: func(int) (*play.Request, error) {
			return &play.Request{Method: http.MethodPost, Header: http.Header{}}, nil
		},
		right: func(status int) bool { return status == http.StatusOK },
	}
	sum, err := s.run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Sent != 4 || sum.Wrong != 0 {
		t.Errorf("got %d sent and %d wrong, want the 4 that were answered", sum.Sent, sum.Wrong)
	}
	client.CloseIdleConnections()
	server.Close()
	goleak.VerifyNone(t, ignore)
}
