package servertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Caller makes the request with which a provider sends the event with an id.
type Caller func(url, id string) *http.Request

// Stream sends as Stream Chat does.
func Stream(t testing.TB) Caller {
	return func(url, id string) *http.Request { return Request(t, url, id, OldSecret, BodyOf(id)) }
}

// Social sends as social.plus does: without an id but in the body.
func Social(t testing.TB) Caller {
	return func(url, id string) *http.Request {
		body := SocialBodyOf(id)
		m := hmac.New(sha256.New, []byte(OldSecret))
		m.Write([]byte(body))
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amity-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil)))
		req.Header.Set("Content-Type", "application/json")
		return req
	}
}

// SocialBodyOf is the body of social.plus's event with an id.
func SocialBodyOf(id string) string {
	return fmt.Sprintf(`{"event":"message.didCreate","data":{"id":%q}}`, id)
}

// NewSocialSinkhole is a sink for events of social.plus, whose ids are made by the
// receiver: it tells them apart by what stands in the body.
func NewSocialSinkhole(t testing.TB, answer func(w http.ResponseWriter, r *http.Request) bool) *Sinkhole {
	s := NewSinkhole(t, answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodyOf = SocialBodyOf
	s.idOf = func(_ *http.Request, body string) string {
		var e struct{ Data struct{ ID string } }
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return ""
		}
		return e.Data.ID
	}
	return s
}

// Prober sends one event every so often, whatever becomes of the others.
type Prober struct {
	t       testing.TB
	url     string
	call    Caller
	client  *http.Client
	prefix  string
	stop    context.CancelFunc
	working sync.WaitGroup

	mu       sync.Mutex
	sent     int
	answered map[string]bool
	// others are the answers that were no 200, by id; an empty one is none at all.
	others map[string]string
}

// NewProber starts a Prober of url. Ids begin with prefix.
func NewProber(t testing.TB, client *http.Client, url, prefix string, every time.Duration, call Caller) *Prober {
	p := &Prober{t: t, url: url, call: call, client: client, prefix: prefix, answered: map[string]bool{}, others: map[string]string{}}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.working.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.send()
			}
		}
	})
	return p
}

// send sends the next event without waiting for its answer.
func (p *Prober) send() {
	p.mu.Lock()
	id := fmt.Sprintf("%s%06d", p.prefix, p.sent)
	p.sent++
	p.mu.Unlock()
	p.working.Go(func() {
		answer := p.ask(id)
		p.mu.Lock()
		defer p.mu.Unlock()
		if answer == "200" {
			p.answered[id] = true
		} else {
			p.others[id] = answer
		}
	})
}

func (p *Prober) ask(id string) string {
	resp, err := p.client.Do(p.call(p.url, id))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode)
}

// Answered returns how many events were answered 200 so far.
func (p *Prober) Answered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.answered)
}

// Stop ends the Prober and returns the ids that were answered 200, and what became
// of the others.
func (p *Prober) Stop() (answered map[string]bool, others map[string]string) {
	p.stop()
	p.working.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.answered), maps.Clone(p.others)
}
