package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver plays one: it answers each call with f.
func receiver(t *testing.T, f http.HandlerFunc) *admin.Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	c, err := admin.New(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func refuse(w http.ResponseWriter, status int, retryAfter string, body any) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func TestNewRefuses(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8081", "ftp://x", "http://", "http://x/path", "http://x?a=b", "http://user@x", "http://%"} {
		if _, err := admin.New(address, ""); err == nil {
			t.Errorf("New(%q) takes it", address)
		}
	}
}

// What a receiver says comes through; what is not an admin API is told apart from
// it, and nothing is followed elsewhere.
func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"said": {func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "", v1.Error{Error: "it is not there"}) }, "it is not there"},
		"said to the terminal": {func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 404, "", v1.Error{Error: "it is\x1b[2J not\nthere"})
		}, "it is [2J not there"},
		"several": {func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 400, "", v1.Error{Error: "say which by ?endpoint=NAMESPACE/NAME"})
		}, "--endpoint NAMESPACE/NAME"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "redirect, which is not followed"},
		"no API":  {http.NotFound, "no admin API is served at"},
		"proxy":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, "status 502"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, "is not the admin API's"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := receiver(t, tt.answer).Queue(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one about %q", err, tt.want)
			}
		})
	}
}

// TestStatusIsBounded holds that no pod fills the memory of whoever asks how it is.
func TestStatusIsBounded(t *testing.T) {
	for size, ok := range map[int]bool{1 << 10: true, 1 << 20: false} {
		c := receiver(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", size), "{}") })
		if _, err := c.Status(t.Context()); (err == nil) != ok {
			t.Errorf("%d bytes: err = %v", size, err)
		}
	}
}

// TestLostAnswer holds that an order which went out and was not answered is sent once,
// and called what it is: perhaps done. What was only asked, or never went out, is not.
func TestLostAnswer(t *testing.T) {
	const unsure = "may have done what it was asked last"
	var orders, asked atomic.Int64
	c := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			orders.Add(1)
		} else {
			asked.Add(1)
		}
		panic(http.ErrAbortHandler) // which closes the connection
	})
	if _, err := c.ReplayEvents(t.Context(), []v1.EventReplay{{Sequence: 1}}, ""); err == nil || !strings.Contains(err.Error(), unsure) {
		t.Errorf("err = %v, want one that says %q", err, unsure)
	}
	if n := orders.Load(); n != 1 {
		t.Errorf("the order was sent %d times", n)
	}
	if _, err := c.Queue(t.Context()); err == nil || strings.Contains(err.Error(), unsure) || asked.Load() == 0 {
		t.Errorf("err = %v, want one that does not say %q", err, unsure)
	}
	nowhere, err := admin.New("http://127.0.0.1:1", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nowhere.ReplayEvents(t.Context(), []v1.EventReplay{{Sequence: 1}}, ""); err == nil || strings.Contains(err.Error(), unsure) {
		t.Errorf("err = %v, want one that does not say %q", err, unsure)
	}
}

func TestPages(t *testing.T) {
	var asked []string
	c := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("cursor")+" "+q.Get("after")+" "+q.Get("type"))
		page := v1.EventPage{Items: []v1.Event{{Sequence: uint64(len(asked))}}, Next: fmt.Sprint("c", len(asked))}
		switch len(asked) {
		case 2:
			page.Items = nil // a filter passed over much
		case 4:
			page.Next = ""
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	var got []uint64
	if err := c.Events(t.Context(), admin.EventFilter{Type: "a", After: 7}, func(e *v1.Event) bool { got = append(got, e.Sequence); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{1, 3, 4}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{" 7 a", "c1  a", "c2  a", "c3  a"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// clock is one that goes on by itself when it is asked.
type clock struct {
	now  time.Time
	step time.Duration
}

func (c *clock) Now() time.Time { c.now = c.now.Add(c.step); return c.now }

// Where there is no room for a batch a smaller one is tried, down to one item,
// which is waited with, and larger ones again; nothing is left out or done twice.
func TestBulkWhileFull(t *testing.T) {
	var tried []int
	var done []string
	c := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		var in v1.ReplayDeadLetters
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		tried = append(tried, len(in.IDs))
		if len(in.IDs) > 3 || len(tried) == 3 || len(tried) == 4 {
			refuse(w, 503, "1", v1.Error{Error: "the queue is full"})
			return
		}
		done = append(done, in.IDs...)
		_ = json.NewEncoder(w).Encode(v1.Replayed{Replay: "r", Replayed: len(in.IDs)})
	})
	var items []string
	for n := range 10 {
		items = append(items, fmt.Sprint("app/", n+1))
	}
	b := admin.Bulk[string]{Items: items, Most: 8, Now: time.Now, Do: func(ctx context.Context, batch []string) (int, error) {
		_, err := c.ReplayDeadLetters(ctx, batch, "r")
		return 0, err
	}}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(items, done); diff != "" || b.Done != 10 {
		t.Errorf("%d done (-want +got):\n%s", b.Done, diff)
	}
	if diff := cmp.Diff([]int{8, 4, 2, 1, 1, 2, 4, 2, 4, 2, 3}, tried); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// An error that is not for want of room ends it, and what was done is counted.
func TestBulkFails(t *testing.T) {
	gone := errors.New("the receiver is gone")
	n := 0
	b := admin.Bulk[int]{Items: make([]int, 10), Most: 4, Now: time.Now, Do: func(_ context.Context, batch []int) (int, error) {
		if n++; n == 2 {
			return 0, gone
		}
		return 1, nil
	}}
	if err := b.Run(t.Context()); !errors.Is(err, gone) || b.Done != 4 || b.Missing != 1 {
		t.Errorf("err = %v, %d done, %d missing", err, b.Done, b.Missing)
	}
}

// The batch under way when ctx ends is finished, and no other begins.
func TestBulkStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := admin.Bulk[int]{Items: make([]int, 10), Most: 4, Now: time.Now, Do: func(under context.Context, _ []int) (int, error) {
		cancel()
		return 0, under.Err()
	}}
	if err := b.Run(ctx); !errors.Is(err, admin.ErrStopped) || b.Done != 4 {
		t.Errorf("err = %v, %d done", err, b.Done)
	}
}

// A rate is kept by small batches with pauses between them.
func TestBulkRate(t *testing.T) {
	var batches []int
	b := admin.Bulk[int]{Items: make([]int, 60), Rate: 200, Most: 100, Now: time.Now, Do: func(_ context.Context, batch []int) (int, error) {
		batches = append(batches, len(batch))
		return 0, nil
	}}
	began := time.Now()
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 200*time.Millisecond || !cmp.Equal(batches, []int{50, 10}) {
		t.Errorf("batches %v in %v", batches, took)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	c := clock{now: time.Unix(0, 0), step: 500 * time.Millisecond}
	p := admin.NewProgress(&out, "replayed", c.Now)
	b := admin.Bulk[int]{Items: make([]int, 20), Most: 1, Now: c.Now, Progress: p, Do: func(context.Context, []int) (int, error) { return 0, nil }}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.End()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 3 || !strings.HasPrefix(lines[0], "replayed 1 of 20, ") || !strings.HasSuffix(lines[0], " left") {
		t.Errorf("progress:\n%s", out.String())
	}
}

// An import goes on from where there was no room, and counts lines as the file
// has them.
func TestImportWhileFull(t *testing.T) {
	calls, stored := 0, 0
	c := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n := bytes.Count(body, []byte("\n"))
		switch calls++; calls {
		case 1:
			stored += 100
			refuse(w, 503, "1", v1.Imported{Error: "full", Lines: 101, Stored: 100, Refused: 1, Errors: []v1.LineError{{Line: 7, Error: "bad"}}})
		case 2:
			refuse(w, 503, "1", v1.Error{Error: "busy"})
		default:
			stored += n - 1
			_ = json.NewEncoder(w).Encode(v1.Imported{Lines: n, Stored: n - 1, Refused: 1, Errors: []v1.LineError{{Line: 2, Error: "bad too"}}})
		}
	})
	sum, err := c.Import(t.Context(), strings.NewReader(strings.Repeat("{}\n", 1000)), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	want := &v1.Imported{Lines: 1000, Stored: stored, Refused: 3, Errors: []v1.LineError{{Line: 7, Error: "bad"}, {Line: 103, Error: "bad too"}, {Line: 502, Error: "bad too"}}}
	if diff := cmp.Diff(want, sum); diff != "" || stored != 997 {
		t.Errorf("imported, %d stored (-want +got):\n%s", stored, diff)
	}
}

// An import that cannot go on says how far it came.
func TestImportFails(t *testing.T) {
	c := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 500, "", v1.Imported{Error: "it failed", Lines: 2, Stored: 2})
	})
	sum, err := c.Import(t.Context(), strings.NewReader("{}\n{}\n{}\n"), nil, time.Now)
	if err == nil || sum.Lines != 2 || sum.Stored != 2 {
		t.Errorf("err = %v, %+v", err, sum)
	}
}
