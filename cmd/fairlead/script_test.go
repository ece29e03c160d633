package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/fairlead-dev/fairlead/api/provider"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/config/samples/moderator/moderation"
	"github.com/fairlead-dev/fairlead/hack/readme"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

// scriptServer plays a receiver.
type scriptServer struct {
	mu       sync.Mutex
	requests int
	answers  int      // of the sink; 0 means 200
	events   []string // that the sink took
	typed    *readme.Typed
}

func (s *scriptServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *scriptServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	what, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch what {
	case "verify":
		s.verify(w, r, arg)
	case "status":
		digits, _, _ := strings.Cut(arg, "/") // a hook's path may stand behind it
		code, err := strconv.Atoi(digits)
		if err != nil {
			code = http.StatusInternalServerError
		}
		w.WriteHeader(code)
		fmt.Fprintln(w, "as you\twish")
	case "sink":
		s.sink(w, r)
	case "sync":
		s.sync(w, r, arg)
	case "moderate":
		moderate(w, r, arg)
	case "answer":
		answerWith(w, arg)
	case "whoami":
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %s", host, r.URL)
	case "hang":
		_, _ = io.Copy(io.Discard, r.Body) // the end of the connection is noticed only then
		<-r.Context().Done()
	}
}

// sync answers a hook as a receiver does that has the sample moderator.
func (s *scriptServer) sync(w http.ResponseWriter, r *http.Request, path string) {
	name, hook, _ := strings.Cut(path, "/")
	p, err := provider.Get(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	body, err := verified(p, r)
	if err != nil {
		w.WriteHeader(int(p.Spec.Replies.Unauthenticated.Status))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	moderate(w, r, hook)
}

// moderate is the sample moderator.
func moderate(w http.ResponseWriter, r *http.Request, hook string) {
	r.URL.Path = "/" + hook
	moderation.New(moderation.Rules{Mask: []string{"heck"}, Refuse: []string{"pills"}}, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
}

func answerWith(w http.ResponseWriter, arg string) {
	status, body, _ := strings.Cut(arg, "/")
	code, err := strconv.Atoi(status)
	text, err2 := base64.RawURLEncoding.DecodeString(strings.SplitN(body, "/", 2)[0])
	if err != nil || err2 != nil {
		code = http.StatusInternalServerError
	}
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// sink takes an event, or does not.
func (s *scriptServer) sink(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers > 299 || err != nil {
		w.WriteHeader(s.answers)
		fmt.Fprintln(w, "the sink says no")
		return
	}
	s.events = append(s.events, fmt.Sprintf("%s replay=%s type=%s sha256=%x", r.Header.Get("Ce-Id"), r.Header.Get("Ce-Fairleadreplay"), r.Header.Get("Ce-Type"), sha256.Sum256(body)))
}

// verify answers as a receiver does that has the signing secret.
func (s *scriptServer) verify(w http.ResponseWriter, r *http.Request, name string) {
	p, err := provider.Get(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	reply := p.Spec.Replies.Accepted
	if isIgnored(p, r.Header) {
		reply = p.Spec.Replies.Ignored
	} else if _, err := verified(p, r); err != nil {
		reply = p.Spec.Replies.Unauthenticated
	}
	w.WriteHeader(int(reply.Status))
	fmt.Fprint(w, reply.Body)
}

func isIgnored(p *v1alpha1.WebhookProvider, h http.Header) bool {
	has := func(name v1alpha1.HeaderName) bool { return h.Get(string(name)) != "" }
	for _, rule := range p.Spec.Ignore {
		if !slices.ContainsFunc(rule.Absent, has) && has(rule.Present[0]) {
			return true
		}
	}
	return false
}

// verified returns the bytes that were signed.
func verified(p *v1alpha1.WebhookProvider, r *http.Request) ([]byte, error) {
	scheme, err := verify.New(p.Spec.Signatures, "")
	if err != nil {
		return nil, err
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" && scheme.SignsInflated() {
		if in, err = gzip.NewReader(r.Body); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	keys, _ := scheme.Keys([]verify.Entry{{Name: "current", Value: []byte(signingSecret)}})
	_, err = keys.Verify(verify.Request{Method: r.Method, Header: r.Header, Body: body}, time.Now())
	return body, err
}
