package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// connectTime bounds how long a connection to a pod may take, and pings is how
// often it is tried.
const (
	connectTime = 20 * time.Second
	pings       = 10 * time.Second
)

// Tunnel leads to the ports of one pod. It is connected when it is first needed,
// and anew after it broke. Nothing listens on this machine for it, so nobody else
// here can use it. It may be used by several goroutines.
type Tunnel struct {
	pod     string
	connect func(context.Context) (httpstream.Connection, error)

	turn chan struct{} // holds one token; whoever has it may touch what follows
	conn httpstream.Connection
	next int
}

// Tunnel returns a way to a pod of the client's namespace.
func (c *Client) Tunnel(pod string) *Tunnel {
	t := &Tunnel{pod: pod, turn: make(chan struct{}, 1)}
	t.connect = func(ctx context.Context) (httpstream.Connection, error) { return c.connect(ctx, pod) }
	t.turn <- struct{}{}
	return t
}

// Dial connects to a port of the pod's loopback address. A connection to the API
// server that turns out to be broken is made anew, once.
func (t *Tunnel) Dial(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	for {
		conn, id, fresh, err := t.session(ctx)
		if err != nil {
			return nil, err
		}
		s, err := t.open(ctx, conn, id, port)
		if err == nil {
			return s, nil
		}
		t.drop(conn)
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
}

// open begins a use of a port. What the library does for it has no context, so it is
// left behind if ctx or the connection ends first.
func (t *Tunnel) open(ctx context.Context, conn httpstream.Connection, id, port int) (*stream, error) {
	type opened struct {
		*stream
		err error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := t.streams(conn, id, port)
		done <- opened{s, err}
	}()
	var err error
	select {
	case o := <-done:
		return o.stream, o.err
	case <-conn.CloseChan():
		err = errors.New("it was closed")
	case <-ctx.Done():
		err = ctx.Err()
	}
	go func() {
		if o := <-done; o.err == nil {
			_ = o.Close()
		}
	}()
	return nil, t.lost(err)
}

// streams makes the two streams that a use of a port takes.
func (t *Tunnel) streams(conn httpstream.Connection, id, port int) (*stream, error) {
	header := http.Header{}
	header.Set(corev1.PortHeader, strconv.Itoa(port))
	header.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(id))
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	trouble, err := conn.CreateStream(header)
	if err != nil {
		return nil, t.lost(err)
	}
	_ = trouble.Close() // of the half that is for us to write
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(header)
	if err != nil {
		conn.RemoveStreams(trouble)
		return nil, t.lost(err)
	}
	s := &stream{Stream: data, tunnel: t, conn: conn, trouble: trouble, port: port, said: make(chan string, 1)}
	go s.listen()
	return s, nil
}

// session returns the connection to the API server, a number for a use of it, and
// whether it was made just now.
func (t *Tunnel) session(ctx context.Context) (conn httpstream.Connection, id int, fresh bool, err error) {
	select {
	case <-t.turn:
	case <-ctx.Done():
		return nil, 0, false, ctx.Err()
	}
	defer func() { t.turn <- struct{}{} }()
	if t.conn != nil && closed(t.conn) {
		t.conn = nil
	}
	if t.conn == nil {
		if t.conn, err = t.connect(ctx); err != nil {
			return nil, 0, false, err
		}
		fresh = true
	}
	t.next++
	return t.conn, t.next, fresh, nil
}

// drop ends a connection that is of no use.
func (t *Tunnel) drop(conn httpstream.Connection) {
	<-t.turn
	defer func() { t.turn <- struct{}{} }()
	_ = conn.Close()
	if t.conn == conn {
		t.conn = nil
	}
}

func closed(c httpstream.Connection) bool {
	select {
	case <-c.CloseChan():
		return true
	default:
		return false
	}
}

// Close ends the connection. The tunnel may be used again.
func (t *Tunnel) Close() {
	<-t.turn
	defer func() { t.turn <- struct{}{} }()
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// lost says that the connection broke, whatever it broke by.
func (t *Tunnel) lost(err error) error {
	return fmt.Errorf("the connection to pod %q was lost: has the pod ended, or the API server? (%w)", t.pod, err)
}

// connect opens the connection by which ports of a pod are reached: over a
// WebSocket, and where the API server or something before it knows none, over
// SPDY.
func (c *Client) connect(ctx context.Context, pod string) (httpstream.Connection, error) {
	target := c.api.Post().AbsPath("api", "v1", "namespaces", c.Namespace, "pods", pod, "portforward").URL()
	config := rest.CopyConfig(c.config)
	config.Timeout = 0 // it is for one request, and the connection lives longer
	conn, err := overWebSocket(ctx, config, target)
	if err == nil {
		return conn, nil
	}
	var refused *httpstream.UpgradeFailureError
	if !errors.As(err, &refused) && !httpstream.IsHTTPSProxyError(err) {
		return nil, c.unreachable(pod, err)
	}
	conn, second := overSPDY(ctx, config, target)
	if second == nil {
		return conn, nil
	}
	if said := apierrors.APIStatus(nil); refused != nil && errors.As(refused.Cause, &said) {
		return nil, c.unreachable(pod, refused.Cause)
	}
	return nil, c.unreachable(pod, second)
}

// unreachable says why a pod cannot be reached, and what to do.
func (c *Client) unreachable(pod string, err error) error {
	doing := fmt.Sprintf("connecting to pod %q", pod)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: it is not there any more; the same command finds those that took its place", doing)
	}
	return c.explain(doing, err, c.Namespace, rulePortForward)
}

func overWebSocket(ctx context.Context, config *rest.Config, target *url.URL) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, req, tunneled)
	if err != nil {
		return nil, err
	}
	log := klog.LoggerWithName(klog.FromContext(ctx), "tunnel")
	return streamspdy.NewClientConnectionWithPings(portforward.NewTunnelingConnectionWithLogger(log, conn), pings)
}

// tunneled is the protocol's name inside a WebSocket.
const tunneled = "SPDY/3.1+" + portforward.PortForwardProtocolV1Name

func overSPDY(ctx context.Context, config *rest.Config, target *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, _, err := spdy.NegotiateStreaming(upgrader, &http.Client{Transport: transport}, req, portforward.PortForwardProtocolV1Name)
	return conn, err
}

// stream is a connection to a port of a pod.
type stream struct {
	httpstream.Stream
	tunnel  *Tunnel
	conn    httpstream.Connection
	trouble httpstream.Stream // on which the node says what went wrong
	port    int
	said    chan string
	once    sync.Once
}

const (
	// maxTrouble bounds what is read of what the node says.
	maxTrouble = 4096
	// patience is how long to wait, at an end, for what the node says of it.
	patience = time.Second
)

// listen waits for what the node says.
func (s *stream) listen() {
	text, _ := io.ReadAll(io.LimitReader(s.trouble, maxTrouble)) // an end without a word is none
	s.said <- string(text)
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err == nil {
		return n, nil
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case text := <-s.said:
		s.said <- text
		if text != "" {
			return n, s.refused(text)
		}
	case <-wait.C:
	}
	if closed(s.conn) {
		return n, s.tunnel.lost(err)
	}
	return n, err
}

// refused makes an error of what the node says.
func (s *stream) refused(text string) error {
	if strings.Contains(text, "connection refused") {
		return &refusedError{s.tunnel.pod, s.port}
	}
	return fmt.Errorf("reaching port %d of pod %q: %s", s.port, s.tunnel.pod, strings.TrimSpace(text))
}

// refusedError means that nothing listens on a port of a pod, so that nobody got what
// was sent there.
type refusedError struct {
	pod  string
	port int
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("nothing listens on port %d of pod %q: its receiver is starting, stopping, or older than this tool", e.port, e.pod)
}

// Is makes it a connection that was refused, as one without a tunnel would be.
func (e *refusedError) Is(target error) bool { return target == syscall.ECONNREFUSED }

func (s *stream) Close() error {
	var err error
	s.once.Do(func() {
		err = s.Reset()
		_ = s.trouble.Reset()
		s.conn.RemoveStreams(s.Stream, s.trouble)
	})
	return err
}

// address is what stands for the ends of a stream.
type address string

func (address) Network() string  { return "portforward" }
func (a address) String() string { return string(a) }

func (s *stream) LocalAddr() net.Addr  { return address("here") }
func (s *stream) RemoteAddr() net.Addr { return address(s.tunnel.pod + ":" + strconv.Itoa(s.port)) }

// There are no deadlines: whoever waits for a stream has a context, and closes it.
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
