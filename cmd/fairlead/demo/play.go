package demo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

// unlisted is an address that nobody sends from (RFC 5737).
const unlisted = "203.0.113.7"

// step is one thing that is tried at an endpoint.
type step struct {
	name     string
	options  play.Options
	unlisted bool
	// times is how often the very same request is sent; 0 means once.
	times int
	// status is what each of them must be answered.
	status int
	// events is how many of them must reach the sink.
	events int
}

// steps lists what is tried at a provider's endpoint.
func steps(e manifest.Resolved) []step {
	all := []step{{name: "valid event", status: http.StatusOK, events: 1}}
	if e.Provider.Name == "stream-chat" {
		all = append(all, step{name: "valid event, gzipped", options: play.Options{Gzip: true}, status: http.StatusOK, events: 1})
	}
	if e.Provider.Spec.Event.Dedup.Key == "ID" {
		all = append(all, step{name: "same event three times", times: 3, status: http.StatusOK, events: 1})
	}
	all = append(all, step{name: "forged signature", options: play.Options{Forge: true}, status: http.StatusUnauthorized},
		step{name: "valid event, unlisted address", unlisted: true, status: http.StatusForbidden})
	if len(e.Provider.Spec.Ignore) > 0 {
		all = append(all, step{name: "legacy twin", options: play.Options{Legacy: true}, status: http.StatusOK})
	}
	return all
}

// row is a step as it went.
type row struct {
	step
	provider string
	answers  []int
	body     []byte
	sent     time.Time
}

// deliverySlack is how long after the last answer an event has to arrive before
// the receiver is stopped; a stopping receiver delivers what is queued.
const deliverySlack = 5 * time.Second

// playAll tries every step at every endpoint, waits for what must arrive, and asks
// the moderator what there is to ask.
func playAll(ctx context.Context, r *run, file *manifest.File, s *sink, m *moderator) ([]row, []asked, error) {
	served, err := r.wait()
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	rows, err := stepAll(ctx, client, r, served, file, s)
	if err != nil {
		return nil, nil, err
	}
	questions, err := askAll(ctx, client, r, served, file, m)
	return rows, questions, err
}

// stepAll tries every step at every endpoint.
func stepAll(ctx context.Context, client *http.Client, r *run, served []manifest.Resolved, file *manifest.File, s *sink) ([]row, error) {
	var rows []row
	for _, e := range served {
		secret, err := secretOf(file, e)
		if err != nil {
			return nil, err
		}
		for i, st := range steps(e) {
			done, err := try(ctx, client, "http://"+r.listen.Addr().String()+e.Result.Config.Path, e, secret, st, i)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", e.Provider.Name, st.name, err)
			}
			rows = append(rows, done)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, deliverySlack)
	defer cancel()
	for _, w := range rows {
		if w.events > 0 {
			s.wait(ctx, w.body)
		}
	}
	return rows, nil
}

// secretOf returns the first signing secret of an endpoint.
func secretOf(file *manifest.File, e manifest.Resolved) ([]byte, error) {
	ref := e.Endpoint.Spec.SecretRef
	secret := file.Secret(e.Endpoint.Namespace, ref.Name)
	if secret == nil {
		return nil, fmt.Errorf("the manifests hold no Secret %q, so nothing can be signed", ref.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		if len(ref.Keys) == 0 || slices.Contains(ref.Keys, name) {
			return secret.Data[name], nil
		}
	}
	return nil, fmt.Errorf("the Secret %q has no entry, so nothing can be signed", ref.Name)
}

// try sends a step's request as often as it says.
func try(ctx context.Context, client *http.Client, url string, e manifest.Resolved, secret []byte, st step, i int) (row, error) {
	st.options.Header = http.Header{"X-Forwarded-For": {clientAddr(e, st.unlisted)}}
	p, err := play.New(e.Provider, secret, st.options)
	if err != nil {
		return row{}, err
	}
	req, err := p.Request(i)
	if err != nil {
		return row{}, err
	}
	done := row{step: st, provider: e.Provider.Name, body: req.Signed, sent: time.Now()}
	for range max(1, st.times) {
		status, _, err := post(ctx, client, url, req)
		if err != nil {
			return row{}, err
		}
		done.answers = append(done.answers, status)
	}
	return done, nil
}

// clientAddr is an address that the endpoint lists, or one that nobody does.
func clientAddr(e manifest.Resolved, stranger bool) string {
	if stranger || len(e.Result.Ranges) == 0 {
		return unlisted
	}
	return e.Result.Ranges[0].CIDR.Addr().String()
}

// report prints the table and says whether all of it is right.
func report(out io.Writer, rows []row, s *sink) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tSENT\tANSWERED\tREACHED THE SINK\tAFTER\t")
	right, expected := true, 0
	for _, w := range rows {
		expected += w.events
		ok := w.right(s)
		right = right && ok
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", w.provider, w.name, w.answered(), w.reached(s), w.after(s), map[bool]string{true: "", false: "WRONG: " + w.wanted()}[ok])
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	fmt.Fprintf(out, "\n%d events reached the sink, byte for byte as they were signed; %d were expected.\n", s.total(), expected)
	if !right || s.total() != expected {
		return errWrong
	}
	return nil
}

func (w *row) right(s *sink) bool {
	for _, a := range w.answers {
		if a != w.status {
			return false
		}
	}
	return len(s.times(w.body)) == w.events
}

func (w *row) wanted() string { return fmt.Sprintf("want %d, and %d to arrive", w.status, w.events) }

// answered is the status of each answer; equal ones are counted.
func (w *row) answered() string {
	same := slices.Compact(slices.Clone(w.answers))
	if len(same) == 1 && len(w.answers) > 1 {
		return fmt.Sprintf("%d × %d %s", len(w.answers), same[0], http.StatusText(same[0]))
	}
	if len(same) == 1 {
		return fmt.Sprintf("%d %s", same[0], http.StatusText(same[0]))
	}
	return fmt.Sprint(w.answers)
}

func (w *row) reached(s *sink) string {
	switch n := len(s.times(w.body)); n {
	case 0:
		return "no"
	case 1:
		return "yes"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

func (w *row) after(s *sink) string {
	t := s.times(w.body)
	if len(t) == 0 {
		return "-"
	}
	return t[0].Sub(w.sent).Round(100 * time.Microsecond).String()
}
