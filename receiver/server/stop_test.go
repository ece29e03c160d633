package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// written is a request as it is sent.
func written(t *testing.T, url, id string) string {
	t.Helper()
	var b strings.Builder
	if err := servertest.Request(t, url, id, servertest.OldSecret, servertest.BodyOf(id)).Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A request that has begun to arrive on a kept connection when the listener is
// closed is answered: the client cannot know that its connection was about to be
// closed, and may not send again.
func TestRequestOnItsWayAtTheStop(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, func(c *v1alpha1.Config) { c.Drain.Delay.Duration = 0 }), servertest.Secrets(servertest.OldSecret))
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/hooks")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(servertest.Wait))
	answers := bufio.NewReader(conn)
	post := func(text string) *http.Response {
		t.Helper()
		if _, err := fmt.Fprint(conn, text); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("reading the answer: %v", err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := post(written(t, r.url, "first")); resp.StatusCode != http.StatusOK || resp.Close {
		t.Fatalf("got %d, closed %t", resp.StatusCode, resp.Close)
	}
	second := written(t, r.url, "second")
	if _, err := fmt.Fprint(conn, second[:20]); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { r.end(); close(ended) }()
	servertest.Until(t, "a closed listener", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if resp := post(second[20:]); resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("got %d, closed %t; want 200, closed", resp.StatusCode, resp.Close)
	}
	<-ended
	servertest.EqualSets(t, "delivered", map[string]bool{"first": true, "second": true}, sink.IDs())
}
