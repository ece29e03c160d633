package dispatch_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/dispatch"
	"github.com/fairlead-dev/fairlead/receiver/sink"
)

// One sink hangs, one refuses, one drips its answer: a fourth gets everything
// meanwhile, and the ledgers of all four add up.
func TestTroubleStaysItsOwn(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/refuse":
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	defer close(release)
	rigs := map[string]*rig{}
	for _, name := range []string{"hang", "refuse", "drip", "healthy"} {
		url := server.URL + "/" + name
		if name == "drip" {
			url = dripper(t)
		}
		s, err := sink.New(config.Sink{Name: name, HTTP: &config.HTTPSink{URL: url}, Delivery: settings()},
			sink.Options{Source: "/test", AllowLoopback: true})
		if err != nil {
			t.Fatal(err)
		}
		g := start(t, func(o *dispatch.Options) { o.Sink = name })
		d := settings()
		d.Timeout.Duration = 50 * time.Millisecond
		if name == "healthy" {
			d.Timeout.Duration = patience
		}
		g.Update(s, d)
		g.queue.add(ids(200)...)
		rigs[name] = g
	}
	eventually(t, "all of the healthy sink's", func() bool { return rigs["healthy"].queue.ledger() == ledger{delivered: 200} })
	for _, name := range []string{"hang", "drip"} {
		if rigs[name].queue.ledger().delivered != 0 {
			t.Errorf("sink %q took deliveries", name)
		}
		eventually(t, name+" is failing", func() bool { return rigs[name].State().Phase == dispatch.Failing })
	}
	eventually(t, "all of the refusing sink's", func() bool { return rigs["refuse"].queue.ledger() == ledger{dead: 200} })
}

// dripper is a server that answers a byte now and then, and never to the end.
func dripper(t *testing.T) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go drip(c)
		}
	}()
	return "http://" + listener.Addr().String()
}

func drip(c net.Conn) {
	defer c.Close()
	_, err := c.Read(make([]byte, 4096))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for text := "HTTP/1.1 200 OK\r\nX-Drip: "; err == nil; text = "x" {
		_, err = c.Write([]byte(text))
		<-tick.C
	}
}
