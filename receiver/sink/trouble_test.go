package sink_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/sink"
	"github.com/fairlead-dev/fairlead/receiver/sink/sinktest"
)

// A server that drips its answer's headers gets the attempt's timeout; one that
// has answered 200 and drips the body has taken the event.
func TestDrippingServers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dripped := make(chan string, 1)
	go func() {
		for text := range dripped {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go drip(c, text)
		}
	}()
	s := mustNew(t, config.HTTPSink{URL: "http://" + listener.Addr().String()}, nil)
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"headers", "HTTP/1.1 200 OK\r\nX-Long: ", context.DeadlineExceeded},
		{"body", "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", nil},
	} {
		dripped <- tt.text
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		err := s.Deliver(ctx, sample(), 1)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if failure := (*sink.Error)(nil); errors.As(err, &failure) && failure.Unsent {
			t.Errorf("%s: the error says that nothing was sent", tt.name)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", tt.name, took)
		}
		cancel()
	}
	close(dripped)
}

// drip sends text at once, and then a byte now and then until nobody listens.
func drip(c net.Conn, text string) {
	defer c.Close()
	_, err := c.Read(make([]byte, 4096))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; err == nil; text = "x" {
		_, err = io.WriteString(c, text)
		<-tick.C
	}
}

// Whatever goes wrong is told in words that hold neither host nor answer.
func TestCauses(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer tls.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	broken := rawServer(t, "SSH-2.0-secret-banner\r\n")
	headers := rawServer(t, "HTTP/1.1 200 OK\r\nX-Large: "+strings.Repeat("secret", 1<<16)+"\r\n\r\n")
	ends := rawServer(t, "")
	ca := files{"ca": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))}
	_, tlsPort, _ := net.SplitHostPort(tls.Listener.Addr().String())

	for _, tt := range []struct {
		name, url, caFile string
		deny              string
		forbidLoopback    bool
		sent              bool
		want              error
	}{
		{name: "unknown authority", url: tls.URL},
		{name: "other host", url: "https://localhost:" + tlsPort, caFile: "ca"},
		{name: "no TLS", url: "https" + strings.TrimPrefix(plain.URL, "http")},
		{name: "not HTTP", url: broken, sent: true},
		{name: "huge headers", url: headers, sent: true},
		{name: "ends at once", url: ends, sent: true},
		{name: "no such host", url: "http://no-such-host.invalid"},
		{name: "nobody listens", url: "http://127.0.0.1:1", want: syscall.ECONNREFUSED},
		{name: "loopback", url: plain.URL, forbidLoopback: true},
		{name: "loopback by name", url: strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), forbidLoopback: true},
		{name: "loopback, mapped", url: strings.Replace(plain.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), forbidLoopback: true},
		{name: "metadata", url: "http://169.254.169.254/latest"},
		{name: "denied", url: plain.URL, deny: "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := sink.Options{ReadFile: ca.read, AllowLoopback: !tt.forbidLoopback}
			if tt.deny != "" {
				o.DenyAddrs = []netip.Addr{netip.MustParseAddr(tt.deny)}
			}
			s, err := sink.New(config.Sink{HTTP: &config.HTTPSink{URL: tt.url, CAFile: tt.caFile}, Delivery: delivery(1)}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Deliver(t.Context(), sample(), 1)
			if err == nil || sink.IsPermanent(err) {
				t.Fatalf("error %v, want one that is retried", err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if failure := (*sink.Error)(nil); !errors.As(err, &failure) || failure.Unsent == tt.sent {
				t.Errorf("error %#v; sent: %v", err, tt.sent)
			}
			var refused *sink.AddressError
			if guarded := tt.forbidLoopback || tt.deny != "" || tt.name == "metadata"; guarded != errors.As(err, &refused) {
				t.Errorf("error %v; refused by the guard: %v, want %v", err, !guarded, guarded)
			}
			sinktest.CheckNoSecret(t, err, "127.0.0.1", "localhost", "no-such-host", "169.254", "secret", tlsPort)
			t.Log(err)
		})
	}
}

// rawServer answers every connection with text, and ends it.
func rawServer(t *testing.T, text string) (url string) {
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
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
			c.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// A connection that hangs before anything could be sent is told from an answer
// that does not come.
func TestUnsentInTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // its kernel accepts; nobody speaks TLS
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := mustNew(t, config.HTTPSink{URL: "https://" + listener.Addr().String()}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = s.Deliver(ctx, sample(), 1)
	if failure := (*sink.Error)(nil); !errors.As(err, &failure) || !failure.Unsent || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %#v, want a timeout before anything was sent", err)
	}
}
