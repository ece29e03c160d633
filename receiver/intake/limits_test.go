package intake_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
)

func TestRateLimits(t *testing.T) {
	for name, edit := range map[string]func(*v1alpha1.Config){
		"per source": func(c *v1alpha1.Config) { c.Limits.RequestsPerSecondPerSource = 1 },
		"whole":      func(c *v1alpha1.Config) { c.Limits.RequestsPerSecond = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "stream-chat", edit)
			var got []int
			for range 4 {
				got = append(got, b.send(stream(body, body, nil)).StatusCode)
			}
			if diff := cmp.Diff([]int{200, 200, 429, 429}, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

// A gzip bomb costs the limit and not what it would inflate to.
func TestGzipBomb(t *testing.T) {
	b := newBench(t, "stream-chat", nil)
	bomb := zipped(strings.Repeat("\x00", 32<<20))
	b.config.Limits.MaxBodyBytes = 64 << 10
	if n := testing.AllocsPerRun(1, func() {
		if resp := b.send(stream(body, bomb, nil)); resp.StatusCode != 413 {
			t.Errorf("status = %d, want 413", resp.StatusCode)
		}
	}); n > 500 {
		t.Errorf("%v allocations", n)
	}
	before := heap()
	for range 20 {
		b.send(stream(body, bomb, nil))
	}
	if per := (heap() - before) / 20; per > 1<<20 {
		t.Errorf("a bomb of 32 MiB costs %d bytes a request; the limit is 64 KiB", per)
	}
}

// heap returns the bytes that were ever allocated.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A few of the requests from unlisted addresses are verified, after they were
// answered and without being stored.
func TestSampleOfUnlisted(t *testing.T) {
	for want, signed := range map[string]string{"unlisted valid": body, "unlisted invalid": "other"} {
		b := newBench(t, "stream-chat", nil)
		srv := httptest.NewServer(b.handler)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/hooks", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Signature", hexSignature(signed))
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 403 {
			t.Errorf("status = %d, want 403", resp.StatusCode)
		}
		checkReply(t, resp)
		srv.Close() // waits for the handler
		if diff := cmp.Diff([]string{want}, b.notes); diff != "" {
			t.Errorf("observed (-want +got):\n%s", diff)
		}
		if len(b.stored) != 0 {
			t.Error("an unlisted request was stored")
		}
	}
}
