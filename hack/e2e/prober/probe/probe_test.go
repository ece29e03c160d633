package probe_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

const secret = "ssk_test_secret_0123456789"

// far bounds a test whose prober does not stop by itself.
const far = time.Minute

// run probes an address until enough events are done, and returns their results.
func run(t *testing.T, url string, enough int, edit func(*probe.Options)) (*probe.Summary, []probe.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), far)
	defer cancel()
	var all []probe.Result
	o := probe.Options{Provider: "stream-chat", URL: url, Secret: func() (string, string, error) { return secret, "", nil },
		Prefix: t.Name(), Interval: time.Millisecond, Waiting: 100_000, Timeout: far}
	if edit != nil {
		edit(&o)
	}
	o.Told = func(r *probe.Result) error {
		all = append(all, *r)
		if len(all) >= enough {
			cancel()
		}
		return nil
	}
	s, err := probe.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestVectors holds that the signatures are those that the providers' own
// libraries make: the vectors are of the profiles.
func TestVectors(t *testing.T) {
	const body = "{\"type\":\"message.new\",\"cid\":\"messaging:fun\",\"message\":{\"id\":\"m1\",\"text\":\"h\u00e9llo \U0001F680 <b>&amp;</b>\"},\"created_at\":\"2020-03-30T07:54:46.295138Z\"}\n"
	for name, tt := range map[string]struct{ provider, secret, header, want string }{
		"Stream":      {"stream-chat", secret, "X-Signature", "ddf0c439a796dcd9e79894b13554e0ae4727839db803be94febdb528e0cc6cf2"},
		"social.plus": {"social-plus", "amity_webhook_secret", "X-Amity-Signature", "VdvLIIYFOXNXSaiTGETxK559u3ySPWIkihebndjjRfg="},
	} {
		if got := probe.Sign(tt.provider, tt.secret, []byte(body)).Get(tt.header); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestRequests holds that each event is signed, has an id and a body of its own,
// and comes on the kind of connection and in the encoding that were asked for.
func TestRequests(t *testing.T) {
	for name, sum := range map[string]func(r *http.Request, body []byte) bool{
		"stream-chat": func(r *http.Request, body []byte) bool {
			return r.Header.Get("X-Signature") == hex.EncodeToString(mac(body)) && r.Header.Get("X-Webhook-Attempt") == "1" &&
				r.Header.Get("X-Api-Key") == "key" && bytes.Contains(body, []byte(r.Header.Get("X-Webhook-Id")))
		},
		"social-plus": func(r *http.Request, body []byte) bool {
			return r.Header.Get("X-Amity-Signature") == base64.StdEncoding.EncodeToString(mac(body))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			bodies, zipped := map[string]bool{}, 0
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				body, plain := read(r)
				if !plain {
					zipped++
				}
				if !sum(r, body) || !json.Valid(body) {
					w.WriteHeader(http.StatusUnauthorized)
				}
				bodies[digest(body)] = true
			})
			s, all := run(t, url, 100, func(o *probe.Options) {
				o.Provider, o.Fresh, o.Gzip = name, 0.25, 0.1
				o.Secret = func() (string, string, error) { return secret, "key", nil }
			})
			if s.Successes != s.Sent || s.Sent < 100 || len(all) != s.Sent || s.P50 <= 0 || s.Fresh < s.Sent/4 || s.Fresh == s.Sent {
				t.Errorf("the summary of %d is %+v", len(all), s)
			}
			sent := map[string]bool{}
			for _, r := range all {
				sent[r.SHA256] = true
			}
			if diff := cmp.Diff(sent, bodies); diff != "" || len(bodies) != s.Sent || zipped != s.Sent/10 {
				t.Errorf("%d bodies of %d, %d of them compressed, came (-sent +got):\n%s", len(bodies), s.Sent, zipped, diff)
			}
		})
	}
}

func mac(body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return m.Sum(nil)
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func read(r *http.Request) (body []byte, plain bool) {
	b, _ := io.ReadAll(r.Body)
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b, true
	}
	b, _ = io.ReadAll(z)
	return b, false
}

// TestOutcomes holds that what goes wrong is named, and not tried again in
// silence.
func TestOutcomes(t *testing.T) {
	hijack := func(reset bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			read(r)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if reset {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			conn.Close()
		}
	}
	hang := func(w http.ResponseWriter, r *http.Request) { read(r); <-r.Context().Done() }
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    probe.Outcome
		status  int
	}{
		"success":       {func(http.ResponseWriter, *http.Request) {}, probe.Answered, 200},
		"refusal":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, probe.Answered, 403},
		"redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, probe.Answered, 302},
		"ended":         {hijack(false), probe.EOF, 0},
		"cut":           {hijack(true), probe.Reset, 0},
		"no answer":     {hang, probe.Timeout, 0},
		"no connection": {nil, probe.Refused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			url := "http://127.0.0.1:1/"
			if tt.handler != nil {
				url = serve(t, tt.handler)
			}
			s, all := run(t, url, 5, func(o *probe.Options) {
				o.Interval = 50 * time.Millisecond
				if tt.want == probe.Timeout {
					o.Timeout = 2 * time.Second // also on a busy machine a connection stands before
				}
			})
			for _, r := range all {
				if r.Outcome != tt.want || r.Status != tt.status || r.Attempts != 1 {
					t.Errorf("got %+v", r)
				}
			}
			if (tt.want == probe.Answered) == (len(s.Answered) == 0) || (tt.want != probe.Answered) == (len(s.Unanswered) == 0) {
				t.Errorf("the summary is %+v", s)
			}
		})
	}
}

// TestRetries holds who sends again after what.
func TestRetries(t *testing.T) {
	for name, tt := range map[string]struct {
		provider string
		status   int
		want     int
	}{
		"Stream, 503":      {"stream-chat", 503, 3},
		"Stream, 401":      {"stream-chat", 401, 1},
		"social.plus, 503": {"social-plus", 503, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.status) })
			_, all := run(t, url, 1, func(o *probe.Options) { o.Provider, o.Retries, o.Interval = tt.provider, true, far })
			if len(all) != 1 || all[0].Attempts != tt.want {
				t.Errorf("got %+v, want %d attempts", all, tt.want)
			}
		})
	}
}

// TestWaiting holds that an event for which there is no room is told of.
func TestWaiting(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { read(r); <-r.Context().Done() })
	s, _ := run(t, url, 5, func(o *probe.Options) { o.Waiting, o.Timeout = 1, time.Second })
	if s.Unanswered[probe.Unsent] == 0 || s.Unanswered[probe.Timeout] == 0 {
		t.Errorf("got %+v", s)
	}
}

func TestSecretOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	read := probe.SecretOf(file)
	if _, _, err := read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v without a file", err)
	}
	for text, want := range map[string][2]string{"abc\n": {"abc", ""}, "key abc": {"abc", "key"}} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, e, err := read(); s != want[0] || e != want[1] || err != nil {
			t.Errorf("%q: got %q, %q, %v", text, s, e, err)
		}
	}
}
