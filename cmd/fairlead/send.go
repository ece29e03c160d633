package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/play"
)

const sendHelp = `Send plays a provider: it makes requests as the provider does, signs them as its
profile says, posts them, and prints what was answered.

The secret is what the provider shows to its customer. Other users of the
machine can read a command line, so keep the secret in a file and write @FILE
(@- for standard input). For signatures with a key pair it is the private key in
PEM. Bodies are made up: each has an id and time of its own. --body sends the
bytes of a file instead.

Every answer must be a success (2xx), or, with --forge, the one that the profile
has for a wrong signature (401).

--hook names one of the provider's hooks: its requests go to its path below --to,
which stays the endpoint's own URL. The provider acts on the answer of a synchronous
hook. Then the answer must come within the provider's deadline too, it is printed as
a whole, and under it what the provider does: the message passes, is rewritten, or
is refused. Of a provider or hook whose ways are not known here, that is said.
--expect makes that a test.

Exit codes: 0 every answer was the right one, 1 at least one was not, came too late,
is missing, or has not the effect of --expect, 2 wrong usage.`

const sendExample = `  # One new message, as Stream Chat sends it.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --key API_KEY

  # A thousand of them, compressed, over 16 connections.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --gzip --count 1000 --concurrency 16

  # Each event twice, and a forgery.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --duplicate
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --forge

  # Ask a moderation hook about a message, and hold it to a refusal.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --hook before-message-send --text "cheap pills" --expect refused

  # A custom command, /ticket broken, and a pre-hook of social.plus.
  fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret @secret.txt --hook custom-commands --command ticket --text broken
  fairlead send social-plus --to http://127.0.0.1:8080/social --secret @secret.txt --hook pre-hook --event post.shouldCreate

  # Through TLS by a private authority, behind a load balancer that speaks PROXY.
  fairlead send stream-chat --to https://hooks.example.com/stream --secret @secret.txt --ca ca.pem --connect 127.0.0.1:8443 --proxy-from 34.225.10.29

  # The request of social.plus that must be answered and dropped.
  fairlead send social-plus --to http://127.0.0.1:8080/social --secret @secret.txt --legacy`

// Bounds of what send takes.
const (
	maxCount       = 1_000_000
	maxConcurrency = 1024
	maxSecretBytes = 64 << 10
	maxBodyBytes   = 64 << 20
)

// sendFlags are the flags of send.
type sendFlags struct {
	reach
	to, publicURL, secret, key, event, body, output string
	hook, text, command, expect                     string
	files, headers, queries                         []string
	count, concurrency                              int
	timeout, deadline                               time.Duration
	gzip, duplicate, forge, legacy                  bool
}

func newSend() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:     "send PROVIDER --to URL --secret SECRET|@FILE",
		Short:   "Play a provider: send signed requests",
		Long:    sendHelp,
		Example: sendExample,
		Args:    arguments(1, 1, "one provider; fairlead ranges lists them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args[0])
		},
	}
	f.register(cmd)
	return cmd
}

func (f *sendFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.to, "to", "", "URL to post to")
	fl.StringVar(&f.secret, "secret", "", "signing secret; better @FILE, because a command line can be read by others")
	fl.StringVar(&f.key, "key", "", "value of the header that names the secret, such as X-Api-Key")
	fl.StringVar(&f.hook, "hook", "", "hook to play, such as before-message-send; else events, to --to itself")
	fl.StringVar(&f.event, "event", "", "type of event; else the hook's, or the provider's most common")
	fl.StringVar(&f.text, "text", "", "what the user of the provider writes; else made up")
	fl.StringVar(&f.command, "command", "", "command that the user gives, for hooks of commands; else echo")
	fl.StringVar(&f.expect, "expect", "", "what the provider must do with each answer: passes, rewritten or refused")
	fl.DurationVar(&f.deadline, "deadline", 0, "how long the provider waits for an answer, if you have set that there; else as its profile says")
	fl.StringVar(&f.body, "body", "", "file whose bytes to send, - for standard input; else made up")
	fl.IntVar(&f.count, "count", 1, "how many events to send")
	fl.IntVar(&f.concurrency, "concurrency", 1, "how many to send at once")
	fl.BoolVar(&f.gzip, "gzip", false, "compress the body after it is signed")
	fl.BoolVar(&f.duplicate, "duplicate", false, "send each request twice at once, as when an answer got lost")
	fl.BoolVar(&f.forge, "forge", false, "sign with a wrong secret; must be refused")
	fl.BoolVar(&f.legacy, "legacy", false, "send the request that the profile ignores, such as social.plus's X-Eko-Signature")
	fl.StringArrayVar(&f.headers, "header", nil, "header to add or replace, as NAME=VALUE; may be repeated")
	fl.StringArrayVar(&f.queries, "query", nil, "query to add to the URL, as NAME=VALUE; may be repeated")
	fl.StringVar(&f.publicURL, "public-url", "", "URL to sign, for providers that sign it; else that of --to")
	fl.StringVar(&f.ca, "ca", "", "file with the PEM certificates to trust instead of the system's")
	fl.StringVar(&f.connect, "connect", "", "address to connect to instead of the host of --to")
	fl.StringVar(&f.proxyFrom, "proxy-from", "", "begin each connection with a PROXY protocol header, as a load balancer does, that names this client address")
	fl.IntVar(&f.proxyVersion, "proxy-version", 2, "version of that header: 1 or 2")
	fl.DurationVar(&f.timeout, "timeout", 15*time.Second, "how long to wait for each answer")
	fl.StringArrayVarP(&f.files, "file", "f", nil, "file, directory, or - with profiles of your own; may be repeated")
	fl.StringVarP(&f.output, "output", "o", "plain", "plain or json")
}

func (f *sendFlags) run(cmd *cobra.Command, name string) error {
	if err := f.check(); err != nil {
		return err
	}
	profiles, err := loadProfiles(f.files, cmd.InOrStdin())
	if err != nil {
		return err
	}
	p, err := pick(profiles, name)
	if err != nil {
		return err
	}
	player, err := f.player(cmd.InOrStdin(), p)
	if err != nil {
		return err
	}
	if f.expect != "" && !player.Sync() {
		return usagef("--expect is for synchronous hooks; name one with --hook")
	}
	client, err := f.client(f.concurrency)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	s := &sender{
		client: client, url: f.to, timeout: f.timeout, count: f.count, workers: min(f.concurrency, f.count),
		next: player.Request, copies: 1, right: f.right(p), now: time.Now, hook: player.Hook(), deadline: player.Deadline(),
		hints: newHinter(p, player.Hook(), player.Sync()),
	}
	if player.Sync() {
		s.judge, s.wanted = player.Judge, f.expect
	}
	if f.duplicate {
		s.copies = 2
	}
	return f.send(cmd, s)
}

// send sends, prints, and says by its error whether all went as it should.
func (f *sendFlags) send(cmd *cobra.Command, s *sender) error {
	few := f.count*s.copies <= maxLines
	switch {
	case few && f.output == "plain":
		s.seen = func(a *answer) { a.print(cmd.OutOrStdout()) }
	case few:
		s.seen = nil
	default:
		stop := s.showProgress(cmd.Context(), cmd.ErrOrStderr())
		defer stop()
	}
	sum, err := s.run(cmd.Context())
	if err != nil {
		return err
	}
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), sum); err != nil {
			return err
		}
	} else {
		sum.print(cmd.OutOrStdout())
	}
	return sum.verdict(cmd.Context())
}

// check finds what is wrong in the flags by themselves.
func (f *sendFlags) check() error {
	u, err := url.Parse(f.to)
	switch {
	case f.to == "":
		return usagef("--to is missing; name the URL to post to")
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return usagef("--to must be a URL like http://127.0.0.1:8080/stream")
	case f.secret == "":
		return usagef("--secret is missing; write @FILE for one in a file")
	case f.count < 1 || f.count > maxCount:
		return usagef("--count is %d; it must be from 1 to %d", f.count, maxCount)
	case f.concurrency < 1 || f.concurrency > maxConcurrency:
		return usagef("--concurrency is %d; it must be from 1 to %d", f.concurrency, maxConcurrency)
	case f.timeout <= 0:
		return usagef("--timeout is %v; it must be longer than nothing", f.timeout)
	case f.deadline < 0:
		return usagef("--deadline is %v; it must be longer than nothing", f.deadline)
	case !slices.Contains([]string{"", "passes", "rewritten", "refused"}, f.expect):
		return usagef("--expect is %q; it must be one of passes, rewritten, refused", f.expect)
	}
	if err := f.reach.check(); err != nil {
		return err
	}
	return checkOutput(f.output, "plain", "json")
}

// right returns the judge of answers' statuses.
func (f *sendFlags) right(p *v1alpha1.WebhookProvider) func(int) bool {
	if f.forge && !f.legacy {
		want := int(p.Spec.Replies.Unauthenticated.Status)
		return func(status int) bool { return status == want }
	}
	return func(status int) bool { return status >= 200 && status < 300 }
}

func (f *sendFlags) player(stdin io.Reader, p *v1alpha1.WebhookProvider) (*play.Player, error) {
	o := play.Options{
		Hook: f.hook, Event: f.event, Text: f.text, Command: f.command, Key: f.key, URL: f.publicURL, Deadline: f.deadline,
		Gzip: f.gzip, Forge: f.forge, Legacy: f.legacy, Header: http.Header{}, Query: url.Values{},
	}
	if o.URL == "" {
		o.URL = f.to
	}
	err := errors.Join(pairs("--header", f.headers, o.Header.Add), pairs("--query", f.queries, o.Query.Add))
	if err != nil {
		return nil, err
	}
	secret := []byte(f.secret)
	if file, ok := strings.CutPrefix(f.secret, "@"); ok {
		if secret, err = readFile(file, stdin, maxSecretBytes); err != nil {
			return nil, fmt.Errorf("reading secret: %w", err)
		}
	}
	if f.body != "" {
		if o.Body, err = readFile(f.body, stdin, maxBodyBytes); err != nil {
			return nil, fmt.Errorf("reading body: %w", err)
		}
	}
	player, err := play.New(p, secret, o)
	if err != nil {
		return nil, fmt.Errorf("preparing requests: %w", err)
	}
	return player, nil
}

// pairs reads the values of a flag, each NAME=VALUE.
func pairs(flag string, values []string, add func(name, value string)) error {
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return usagef("%s must be NAME=VALUE", flag)
		}
		add(name, value)
	}
	return nil
}

// readFile reads a file, or stdin for -.
func readFile(name string, stdin io.Reader, most int64) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("it is larger than %d bytes", most)
	}
	return bytes.Clone(data), nil
}

var errStopped = errors.New("stopped before all was sent")

// verdict says by an error that something went wrong.
func (s *summary) verdict(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return errStopped
	case s.Wrong == 1:
		return errors.New("1 answer was not the right one, or is missing")
	case s.Wrong > 1:
		return fmt.Errorf("%d answers were not the right ones, or are missing", s.Wrong)
	}
	return nil
}
