package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// frames is an HTTP/2 connection that is spoken by hand.
type frames struct {
	*http2.Framer
	t       *testing.T
	conn    *tls.Conn
	headers bytes.Buffer
	encoder *hpack.Encoder
}

// speak opens a connection and begins with the preface and settings.
func speak(t *testing.T, r *receiver, c *tls.Config, settings ...http2.Setting) *frames {
	t.Helper()
	c = c.Clone()
	c.NextProtos = []string{http2.NextProtoTLS}
	conn, err := dialTLS(t, r, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(servertest.Wait)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &frames{Framer: http2.NewFramer(conn, conn), t: t, conn: conn}
	f.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.headers)
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// block encodes a forged webhook's headers, and others.
func (f *frames) block(more ...string) []byte {
	f.headers.Reset()
	fields := append([]string{":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/hooks",
		"x-signature", strings.Repeat("0", 64), "content-length", "2"}, more...)
	for i := 0; i < len(fields); i += 2 {
		if err := f.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			f.t.Fatal(err)
		}
	}
	return bytes.Clone(f.headers.Bytes())
}

// end is how a connection ended: by GOAWAY with a code, or without a word.
type end struct {
	code    http2.ErrCode
	said    bool
	resets  map[http2.ErrCode]int // streams that were reset
	answers int                   // headers that came
	pongs   int
}

// drain reads until the server ends the connection, or something has come that is
// enough.
func (f *frames) drain(enough func(end) bool) end {
	e := end{resets: map[http2.ErrCode]int{}}
	for !e.said && !enough(e) {
		fr, err := f.ReadFrame()
		if err != nil {
			var ne interface{ Timeout() bool }
			if errors.As(err, &ne) && ne.Timeout() {
				f.t.Error("the connection was not ended")
			}
			return e
		}
		switch fr := fr.(type) {
		case *http2.GoAwayFrame:
			e.code, e.said = fr.ErrCode, true
		case *http2.RSTStreamFrame:
			e.resets[fr.ErrCode]++
		case *http2.HeadersFrame:
			e.answers++
		case *http2.PingFrame:
			if fr.IsAck() {
				e.pongs++
			}
		}
	}
	return e
}

// nothing but the end of a connection is enough.
func nothing(end) bool { return false }

// bounds is what the process uses.
type bounds struct {
	heap       int64
	goroutines int
}

func measure() bounds { return bounds{heap(), runtime.NumGoroutine()} }

// The library's bounds hold, with our settings: each way in which HTTP/2 has been
// misused ends the connection or is refused, takes little memory and few goroutines
// while it lasts, and keeps nobody else from being served.
func TestHTTP2Attacks(t *testing.T) {
	pair, dir := servertest.NewCertificate(t, time.Now().Add(time.Hour)), servertest.NewMount(t)
	dir.Set(pair.Files())
	r := startTLS(t, dir.Dir, servertest.Config(t, servertest.NewSinkhole(t, nil).URL, nil))
	client := servertest.NewTLSClient(t, true, pair)
	served := func(id string) {
		t.Helper()
		if got := servertest.Post(t, client, r.url, id, servertest.OldSecret, servertest.BodyOf(id)); got != http.StatusOK {
			t.Errorf("a valid webhook is answered %d meanwhile", got)
		}
	}
	served("before")
	for name, attack := range map[string]struct {
		settings []http2.Setting
		do       func(*frames) error // an error means that the server has ended it
		enough   func(end) bool      // nil: the connection must be ended
		want     http2.ErrCode       // of GOAWAY; 0: any, or none
		lasting  bool                // the connection may last; it is only held to the bounds
	}{
		"rapid reset": {do: func(f *frames) error {
			block := f.block()
			for id := uint32(1); id < 2*5000; id += 2 {
				if err := errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}),
					f.WriteRSTStream(id, http2.ErrCodeCancel)); err != nil {
					return err
				}
			}
			return f.WritePing(false, [8]byte{})
			// A server that keeps up with it may go on, and then answers the PING.
		}, enough: func(e end) bool { return e.pongs > 0 }, want: http2.ErrCodeEnhanceYourCalm},
		"CONTINUATION flood": {do: func(f *frames) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block()}); err != nil {
				return err
			}
			for n := range 20_000 {
				f.headers.Reset()
				if err := f.encoder.WriteField(hpack.HeaderField{Name: "x-" + strconv.Itoa(n), Value: strings.Repeat("x", 4<<10), Sensitive: true}); err != nil {
					return err
				}
				if err := f.WriteContinuation(1, false, f.headers.Bytes()); err != nil {
					return err
				}
			}
			return nil
		}},
		"empty CONTINUATIONs": {do: func(f *frames) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block()}); err != nil {
				return err
			}
			for range 200_000 {
				if err := f.WriteContinuation(1, false, nil); err != nil {
					return err
				}
			}
			return nil
		}, lasting: true},
		"header list too long": {do: func(f *frames) error {
			var more []string
			for n := range 200 {
				more = append(more, "x-"+strconv.Itoa(n), strings.Repeat("x", 1<<10))
			}
			block := f.block(more...)
			first := block[:16<<10]
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first}); err != nil {
				return err
			}
			for rest := block[len(first):]; len(rest) > 0; {
				n := min(len(rest), 16<<10)
				if err := f.WriteContinuation(1, n == len(rest), rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		}},
		"SETTINGS flood, nothing read": {do: func(f *frames) error {
			for range 1_000_000 {
				if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}); err != nil {
					return err
				}
			}
			return nil
		}, lasting: true},
		"PING flood, nothing read": {do: func(f *frames) error {
			for range 1_000_000 {
				if err := f.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
			return nil
		}, lasting: true},
		"too many streams": {do: func(f *frames) error {
			block := f.block()
			for id := uint32(1); id < 2*1000; id += 2 {
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
					return err
				}
			}
			return nil
		}, enough: func(e end) bool { return e.resets[http2.ErrCodeRefusedStream] > 0 }},
		"frame too long": {do: func(f *frames) error {
			return f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<20))
		}, want: http2.ErrCodeFrameSize},
		"window overflow": {do: func(f *frames) error {
			return errors.Join(f.WriteWindowUpdate(0, 1<<31-1), f.WriteWindowUpdate(0, 1<<31-1))
		}, want: http2.ErrCodeFlowControl},
		"body beyond the window": {do: func(f *frames) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block("content-length", "9999999"), EndHeaders: true}); err != nil {
				return err
			}
			for range 1000 {
				if err := f.WriteData(1, false, make([]byte, 16<<10)); err != nil {
					return err
				}
			}
			return nil
		}, enough: func(e end) bool { return e.answers > 0 || len(e.resets) > 0 }},
		"answers never read": {settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, do: func(f *frames) error {
			block := f.block()
			for id := uint32(1); id < 2*2000; id += 2 {
				if err := errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}),
					f.WriteData(id, true, []byte("{}"))); err != nil {
					return err
				}
			}
			return nil
		}, lasting: true},
	} {
		t.Run(name, func(t *testing.T) {
			before := measure()
			f := speak(t, r, servertest.Client(t, pair), attack.settings...)
			if attack.lasting {
				if err := f.conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			_ = attack.do(f) // an error is the server's answer
			served(name)
			if now := measure(); now.heap-before.heap > 16<<20 || now.goroutines-before.goroutines > 500 {
				t.Errorf("it takes %d bytes and %d goroutines", now.heap-before.heap, now.goroutines-before.goroutines)
			}
			if attack.lasting {
				_ = f.conn.Close()
				return
			}
			if attack.enough == nil {
				attack.enough = nothing
			}
			if e := f.drain(attack.enough); attack.want != 0 && !attack.enough(e) && (!e.said || e.code != attack.want) {
				t.Errorf("the connection ended with %v (said: %v), want GOAWAY with %v", e.code, e.said, attack.want)
			}
		})
	}
	served("after")
}
