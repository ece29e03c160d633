package record_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// rig is a Recorder that is asked as a test asks it.
type rig struct {
	t   *testing.T
	url string
}

func newRig(t *testing.T, limits record.Limits) rig {
	s := httptest.NewServer(record.New(limits, func() time.Time { return time.Unix(1_700_000_000, 0).UTC() }).Handler())
	t.Cleanup(s.Close)
	return rig{t, s.URL}
}

// call returns the status and body of an answer; 0 if there was none in time.
func (r rig) call(ctx context.Context, method, path, id, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if id != "" {
		req.Header.Set("Ce-Id", id)
		req.Header.Set("Ce-Type", "kind")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (r rig) send(path, id, body string) int {
	status, _ := r.call(r.t.Context(), http.MethodPost, path, id, body)
	return status
}

func ask[T any](r rig, path string) T {
	var out T
	_, b := r.call(r.t.Context(), http.MethodGet, path, "", "")
	if err := json.Unmarshal([]byte(b), &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

var large = record.Limits{Events: 5000, Bytes: 1 << 20, Body: 1 << 10}

func TestEvents(t *testing.T) {
	r := newRig(t, large)
	for _, s := range [][3]string{{"/a", "1", "x"}, {"/a", "1", "x"}, {"/b", "1", "x"}, {"/a", "1", "y"}} {
		if got := r.send(s[0], s[1], s[2]); got != http.StatusNoContent {
			t.Errorf("%v was answered %d", s, got)
		}
	}
	var got []string
	for _, e := range ask[record.Page](r, "/events").Events {
		got = append(got, fmt.Sprintf("%s %s %s %s %d %s %s", e.Path, e.ID, e.Body, e.Type, e.Arrivals, e.SHA256[:4], e.Headers.Get("Ce-Id")))
	}
	want := []string{"/a 1 x kind 2 2d71 1", "/b 1 x kind 1 2d71 1", "/a 1 y kind 1 a1fc 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	brief := ask[record.Page](r, "/events?brief=1&path=/b&since=1")
	if len(brief.Events) != 1 || brief.Events[0].Body != nil || brief.Events[0].Headers != nil || brief.Next != 3 || brief.Total != 3 {
		t.Errorf("got %+v", brief)
	}
	if got := ask[record.Counts](r, "/counts"); got != (record.Counts{Events: 3, Arrivals: 4, Bytes: 3}) {
		t.Errorf("got %+v", got)
	}
}

func TestPages(t *testing.T) {
	r := newRig(t, large)
	for i := range 1001 {
		r.send("/", fmt.Sprint(i), "x")
	}
	seen, since := 0, 0
	for {
		p := ask[record.Page](r, fmt.Sprintf("/events?since=%d", since))
		if len(p.Events) == 0 {
			break
		}
		seen, since = seen+len(p.Events), p.Next
	}
	if seen != 1001 {
		t.Errorf("the pages have %d events, want 1001", seen)
	}
}

func TestBounds(t *testing.T) {
	r := newRig(t, record.Limits{Events: 2, Bytes: 4, Body: 4})
	for i, tt := range []struct {
		id, body string
		want     int
	}{
		{"1", "12345", http.StatusRequestEntityTooLarge},
		{"1", "123", http.StatusNoContent},
		{"2", "12", http.StatusInsufficientStorage}, // bytes
		{"2", "1", http.StatusNoContent},
		{"3", "", http.StatusInsufficientStorage}, // events
		{"1", "123", http.StatusNoContent},        // is there already
	} {
		if got := r.send("/", tt.id, tt.body); got != tt.want {
			t.Errorf("request %d was answered %d, want %d", i, got, tt.want)
		}
	}
	if got := ask[record.Counts](r, "/counts"); got != (record.Counts{Events: 2, Arrivals: 3, Full: 2, Bytes: 4}) {
		t.Errorf("got %+v", got)
	}
	r.call(t.Context(), http.MethodDelete, "/events", "", "")
	if got := ask[record.Counts](r, "/counts"); got != (record.Counts{}) {
		t.Errorf("got %+v after all was forgotten", got)
	}
}

func TestModes(t *testing.T) {
	r := newRig(t, large)
	mode := func(text string, want int) {
		t.Helper()
		if got, _ := r.call(t.Context(), http.MethodPost, "/mode", "", text); got != want {
			t.Errorf("mode %s was answered %d, want %d", text, got, want)
		}
	}
	for _, bad := range []string{`{`, `{"mode":"odd"}`, `{"mode":"slow","delay":"soon"}`, `{"mode":"fail","status":99}`, `{"more":"x"}`} {
		mode(bad, http.StatusBadRequest)
	}
	mode(`{"mode":"fail"}`, http.StatusNoContent)
	mode(`{"mode":"fail","status":429,"path":"/a"}`, http.StatusNoContent)
	if a, b := r.send("/a", "1", ""), r.send("/b", "1", ""); a != 429 || b != 503 {
		t.Errorf("failing sinks answered %d and %d", a, b)
	}
	mode(`{"mode":"hang","path":"/a"}`, http.StatusNoContent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, _ := r.call(ctx, http.MethodPost, "/a", "1", ""); got != 0 {
		t.Errorf("a hanging sink answered %d", got)
	}
	mode(`{"mode":"slow","delay":"1ms"}`, http.StatusNoContent) // of /a too
	if got := r.send("/a", "1", ""); got != http.StatusNoContent {
		t.Errorf("a slow sink answered %d", got)
	}
	mode(`{"mode":"ok"}`, http.StatusNoContent)
	if got := r.send("/a", "2", ""); got != http.StatusNoContent {
		t.Errorf("got %d", got)
	}
	if got := ask[record.Counts](r, "/counts"); got != (record.Counts{Events: 2, Arrivals: 2, Refused: 3}) {
		t.Errorf("got %+v", got)
	}
}
