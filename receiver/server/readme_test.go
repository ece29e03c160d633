package server_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// series matches one series of the text format; help its description.
var (
	series = regexp.MustCompile(`(?m)^(fairlead_receiver_\w+?)(?:_bucket|_sum|_count)?(?:\{([^}]*)\})? `)
	kinds  = regexp.MustCompile(`(?m)^# TYPE (fairlead_receiver_\w+) (\w+)$`)
	row    = regexp.MustCompile("(?m)^\\| `(fairlead_receiver_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
)

// The listing in receiver/README.md names every metric that a receiver shows,
// with its kind and its labels, and no other.
func TestMetricsListing(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(readme), -1) {
		want[m[1]] = m[2] + " " + strings.NewReplacer("`", "", ",", "").Replace(strings.TrimSpace(m[3]))
	}
	if diff := cmp.Diff(want, shownMetrics(t)); diff != "" {
		t.Errorf("receiver/README.md and the metrics differ (-README +shown):\n%s", diff)
	}
}

// shownMetrics makes everything happen that is counted, and returns each
// metric's kind and labels.
func shownMetrics(t *testing.T) map[string]string {
	sink := servertest.NewSinkhole(t, nil)
	pair, dir := servertest.NewCertificate(t, time.Now().Add(time.Hour)), servertest.NewMount(t)
	dir.Set(pair.Files())
	sisters := withSisters(servertest.Listen(t))
	r := startWith(t, t.TempDir(), everything(t, sink.URL), servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) {
		sisters(o)
		o.TLSDir = dir.Dir
	})
	client := servertest.NewTLSClient(t, false, pair)
	r.url = strings.Replace(r.url, "http:", "https:", 1)
	for _, body := range []string{`{"type":"a"}`, `{"type":"b"}`, `{"message":{},"user":{},"channel":{}}`} {
		servertest.Post(t, client, r.url, "same", servertest.OldSecret, body)
	}
	ignored := servertest.Request(t, r.url, "x", servertest.OldSecret, "{}")
	ignored.Header.Set("X-Twin", "yes")
	resp, err := client.Do(ignored)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	ask(t, client, servertest.Request(t, r.url+"/before-message-send", "m", servertest.OldSecret, beforeSend))
	servertest.Until(t, "a delivery, a dead letter and the copy", func() bool {
		s := r.receiver.Status().Sinks
		return s[0].LastSuccess != nil && s[1].DeadLetters > 2
	})
	if resp, err = client.Get(r.url + "?check=abc"); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	text := r.get("/metrics")
	got := map[string]string{}
	for _, m := range kinds.FindAllStringSubmatch(text, -1) {
		got[m[1]] = m[2] + " " + labelsOf(text, m[1])
	}
	return got
}

// everything is a configuration with which each kind of thing can happen.
func everything(t *testing.T, url string) *v1alpha1.Config {
	return servertest.Config(t, url, func(c *v1alpha1.Config) {
		c.Sources.Mode = "Observe"
		c.Sources.Ranges = nil
		c.Ignore = []v1alpha1.IgnoreRule{{Name: "twin", Present: []v1alpha1.HeaderName{"X-Twin"}}}
		c.Challenges = []v1alpha1.Challenge{{Name: "probe", Method: "GET", Answer: v1alpha1.Reply{Status: 200}}}
		dead := servertest.HTTPSink("dead", "http://127.0.0.1:1")
		dead.Delivery.MaxAttempts = 1
		dead.Hooks = []string{"push", "before-message-send"}
		picky := servertest.HTTPSink("picky", url)
		picky.Filter = "data.nothing == 1"
		c.Sinks = append(c.Sinks, dead, picky)
		c.Responders = []v1alpha1.Responder{responder("before-message-send", "picky", url, "Allow"), responder("before-message-send", "moderator", url, "Allow")}
		c.Responders[0].Filter = picky.Filter
	})
}

// labelsOf lists a metric's labels, in the order in which they are shown.
func labelsOf(text, metric string) string {
	var names []string
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		if m[1] != metric {
			continue
		}
		for _, pair := range strings.Split(m[2], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok && name != "le" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, " ")
}
