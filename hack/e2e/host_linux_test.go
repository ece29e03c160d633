package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of client hosts, and to which address of the cluster's they go out.
const (
	streamUSEast    = "34.225.10.29"  // Stream's, region us-east
	streamEUWest    = "52.212.14.212" // Stream's, region eu-west
	socialSingapore = "52.77.130.167" // social.plus's, region singapore
	nobody          = "203.0.113.7"   // RFC 5737
	gateway         = "169.254.7.1"
)

// host is a machine outside the cluster that owns an address: a network namespace
// that is joined to the cluster's by a link. It is gone when the test's process has
// ended, whatever ended it.
type host struct {
	address string
	fd      int
	jobs    chan func()
	done    chan struct{}
}

// host makes a host that owns address, until the test ends. There must be no other
// of that address.
func (r *rig) host(t testing.TB, address string) *host {
	t.Helper()
	h := &host{address: address, fd: -1, jobs: make(chan func()), done: make(chan struct{})}
	made := make(chan error)
	go h.live(made)
	if err := <-made; err != nil {
		t.Fatalf("making host %q: %v", address, err)
	}
	t.Cleanup(func() {
		close(h.jobs)
		<-h.done
		_ = unix.Close(h.fd)
	})
	link := fmt.Sprint("host", r.links.Add(1))
	t.Cleanup(func() { _, _ = command(t, "", "ip", "link", "del", link) })
	here := []string{
		"link add " + link + " type veth peer name eth0 netns " + fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.fd),
		"addr add " + gateway + "/32 dev " + link, "link set " + link + " up", "route add " + address + "/32 dev " + link,
	}
	there := []string{
		"link set lo up", "addr add " + address + "/32 dev eth0", "link set eth0 up",
		"route add " + gateway + " dev eth0", "route add default via " + gateway + " src " + address,
	}
	run(t, strings.Join(here, "\n"), "ip", "-batch", "-")
	if err := h.do(func() error { _, err := command(t, strings.Join(there, "\n"), "ip", "-batch", "-"); return err }); err != nil {
		t.Fatalf("joining host %q: %v", address, err)
	}
	return h
}

// live does the jobs in a thread that is in the namespace. The thread ends with it:
// programs that it has started, which are told to end with the thread, do so too.
func (h *host) live(made chan<- error) {
	defer close(h.done)
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		h.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	made <- err
	if err != nil {
		return
	}
	for job := range h.jobs {
		job()
	}
}

// do does something on the host, and returns when it is done.
func (h *host) do(what func() error) error {
	result := make(chan error, 1)
	h.jobs <- func() { result <- what() }
	return <-result
}

// start starts a program on the host. It ends with the host at the latest.
func (h *host) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return h.do(cmd.Start)
}

// dial connects from the host. Many may do so at once: each does it in a thread of
// its own, that ends with it.
func (h *host) dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else gets this thread
		if err := unix.Setns(h.fd, unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("entering a network namespace: %w", err)}
			return
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// client is an HTTP client on the host. It keeps at most one connection to each
// address, so that its requests reach one and the same receiver.
func (h *host) client() *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DialContext: h.dial, MaxConnsPerHost: 1, DisableCompression: true, IdleConnTimeout: time.Minute,
			ExpectContinueTimeout: time.Second,
		},
	}
}

// patience is how long a host waits for a connection before it calls it cut: other
// than by a timeout nobody learns of packets that a policy drops.
const patience = time.Second

// connects tries one new connection, and closes it. It returns nil if there was one,
// and else errCut, or what else went wrong.
func (h *host) connects(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := h.dial(ctx, "tcp", address)
	switch {
	case err == nil:
		return c.Close()
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("connecting from %s to %s: %w", h.address, address, errCut)
	}
	return err
}

// errCut means that packets are dropped.
var errCut = errors.New("no answer")
