package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

// question is something that a user of the provider does, and which a synchronous
// hook asks about.
type question struct {
	writes  string
	options play.Options
	// note says what is special about it.
	note string
	// status is what it must be answered, effect what the provider must do then, and
	// text what is written then, or what the user is told; empty means anything.
	status int
	effect play.Effect
	text   string
}

// What users of the demo write.
const (
	friendly = "Good morning, all"
	rude     = "What the heck"
	masked   = "What the ****"
	offering = "Cheap pills here"
)

// questions lists what is asked of a responder.
func questions(s *config.Responder) []question {
	if s.Hook == "custom-commands" {
		return []question{
			{writes: "/echo " + friendly, options: play.Options{Command: "echo", Text: friendly}, status: http.StatusOK, effect: play.Rewritten, text: friendly},
			{writes: "/dance", options: play.Options{Command: "dance"}, status: http.StatusOK, effect: play.Refused},
		}
	}
	return []question{
		{writes: friendly, options: play.Options{Text: friendly}, status: http.StatusOK, effect: play.Passes},
		{writes: rude, options: play.Options{Text: rude}, status: http.StatusOK, effect: play.Rewritten, text: masked},
		{writes: offering, options: play.Options{Text: offering}, status: http.StatusOK, effect: play.Refused},
		{writes: friendly, note: "forged", options: play.Options{Text: friendly, Forge: true}, status: http.StatusUnauthorized},
	}
}

// failing is asked when the moderator is gone.
func failing(s *config.Responder) question {
	q := question{writes: friendly, note: "moderator down", options: play.Options{Text: friendly}, status: http.StatusOK, effect: play.Passes}
	if s.OnFailure == v1alpha1.FailureDeny {
		q.effect = play.Refused
	}
	return q
}

// asked is a question and what it was answered.
type asked struct {
	question
	provider, hook string
	got            int
	verdict        play.Verdict
	took           time.Duration
}

// askAll asks what there is to ask of every responder, and once more when the
// moderator is gone.
func askAll(ctx context.Context, client *http.Client, r *run, served []manifest.Resolved, file *manifest.File, m *moderator) ([]asked, error) {
	all, err := askEach(ctx, client, r, served, file, questions)
	if err != nil {
		return nil, err
	}
	m.close()
	more, err := askEach(ctx, client, r, served, file, func(s *config.Responder) []question { return []question{failing(s)} })
	return append(all, more...), err
}

func askEach(ctx context.Context, client *http.Client, r *run, served []manifest.Resolved, file *manifest.File, of func(*config.Responder) []question) ([]asked, error) {
	var all []asked
	for _, e := range served {
		secret, err := secretOf(file, e)
		if err != nil {
			return nil, err
		}
		for i := range e.Result.Config.Responders {
			s := &e.Result.Config.Responders[i]
			for _, q := range of(s) {
				a, err := ask(ctx, client, "http://"+r.listen.Addr().String()+e.Result.Config.Path, e, s.Hook, secret, q)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", e.Provider.Name, s.Hook, err)
				}
				all = append(all, a)
			}
		}
	}
	return all, nil
}

func ask(ctx context.Context, client *http.Client, url string, e manifest.Resolved, hook string, secret []byte, q question) (asked, error) {
	q.options.Hook = hook
	q.options.Deadline = patience // how fast this machine is just now is not what is tried
	q.options.Header = http.Header{"X-Forwarded-For": {clientAddr(e, false)}}
	p, err := play.New(e.Provider, secret, q.options)
	if err != nil {
		return asked{}, err
	}
	req, err := p.Request(0)
	if err != nil {
		return asked{}, err
	}
	start := time.Now()
	status, body, err := post(ctx, client, url, req)
	if err != nil {
		return asked{}, err
	}
	a := asked{question: q, provider: e.Provider.Name, hook: hook, got: status, took: time.Since(start)}
	a.verdict = p.Judge(req, play.Answer{Status: status, Body: body, Took: a.took})
	return a, nil
}

func post(ctx context.Context, client *http.Client, url string, req *play.Request) (int, []byte, error) {
	h, err := req.HTTP(ctx, url)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(h)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (a *asked) right() bool {
	return a.got == a.status && (a.effect == "" || a.verdict.Effect == a.effect) && (a.text == "" || a.verdict.Text == "" || a.verdict.Text == a.text)
}

// becomes says what the provider does.
func (a *asked) becomes() string {
	switch {
	case !a.verdict.Usable:
		return "-"
	case a.verdict.Text != "":
		return fmt.Sprintf("%s: %s", strings.ToLower(string(a.verdict.Effect)), a.verdict.Text)
	}
	return strings.ToLower(string(a.verdict.Effect))
}

// reportAsked prints a second table, and says whether all of it is right.
func reportAsked(out io.Writer, all []asked) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprint(out, "\nWhat synchronous hooks ask a moderator, and what the provider does with the answer:\n\n")
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tHOOK\tTHE USER WRITES\tANSWERED\tWHAT BECOMES OF IT\tAFTER\t")
	right := true
	for i := range all {
		a, wrong := &all[i], ""
		if !a.right() {
			right, wrong = false, fmt.Sprintf("WRONG: want %d, %s %s", a.status, a.effect, a.text)
		}
		note := ""
		if a.note != "" {
			note = " (" + a.note + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s%s\t%d %s\t%s\t%s\t%s\n", a.provider, a.hook, a.writes, note, a.got, http.StatusText(a.got), a.becomes(),
			a.took.Round(100*time.Microsecond), wrong)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if !right {
		return errWrong
	}
	return nil
}
