package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// host is a network namespace, as a machine of its own would be. It has no name:
// it is gone when the test's process and all that it started have ended, whatever
// ended them.
type host struct {
	fd   int
	jobs chan func()
	done chan struct{}
}

// newHost makes a host without any link, which ends with the test.
func newHost(t testing.TB) (*host, error) {
	h := &host{fd: -1, jobs: make(chan func()), done: make(chan struct{})}
	made := make(chan error)
	go h.live(made)
	if err := <-made; err != nil {
		<-h.done
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	t.Cleanup(func() {
		close(h.jobs)
		<-h.done
		_ = unix.Close(h.fd)
	})
	return h, nil
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

// path names the namespace to ip.
func (h *host) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.fd) }

// ip runs commands of ip on the host, a line for each.
func (h *host) ip(commands ...string) error {
	return h.do(func() error {
		cmd := exec.Command(program("ip"), "-batch", "-")
		cmd.Env = libraries()
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("running ip: %w: %s", err, out)
		}
		return nil
	})
}

// start starts a program on the host. It ends with the host at the latest.
func (h *host) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return h.do(cmd.Start)
}

// listen listens on the host.
func (h *host) listen(address string) (l net.Listener, err error) {
	err = h.do(func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
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

// The router's addresses on every link.
const (
	gateway  = "169.254.7.1"
	gateway6 = "fe80::1"
)

// router is what lies between hosts: it knows the hosts that are joined to it and
// nothing else, so that no packet leaves.
type router struct {
	*host
	links atomic.Int32
}

func newRouter(t testing.TB) (*router, error) {
	h, err := newHost(t)
	if err != nil {
		return nil, err
	}
	forward := func() error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
	}
	return &router{host: h}, errors.Join(h.ip("link set lo up"), h.do(forward))
}

// join gives a host addresses at which the router's other hosts reach it: one of
// IPv4, one of IPv6, or one of each.
func (r *router) join(h *host, addresses ...string) error {
	link := fmt.Sprint("link", r.links.Add(1))
	here := []string{
		"link add " + link + " type veth peer name eth0 netns " + h.path(),
		"addr add " + gateway + "/32 dev " + link,
		"addr add " + gateway6 + "/64 dev " + link + " nodad",
		"link set " + link + " addrgenmode none", // no address that must be tried out first
		"link set " + link + " up",
	}
	there := []string{"link set lo up", "link set eth0 addrgenmode none", "link set eth0 up"}
	for _, address := range addresses {
		if strings.Contains(address, ":") {
			here = append(here, "route add "+address+"/128 dev "+link)
			there = append(there, "addr add "+address+"/128 dev eth0 nodad", "route add default via "+gateway6+" dev eth0")
			continue
		}
		here = append(here, "route add "+address+"/32 dev "+link)
		there = append(there, "addr add "+address+"/32 dev eth0", "route add "+gateway+" dev eth0", "route add default via "+gateway+" src "+address)
	}
	return errors.Join(r.ip(here...), h.ip(there...))
}

// pair joins two hosts by a link of their own, with addresses of one network.
func pair(a, b *host, addressA string, addressesB ...string) error {
	ofB := []string{"link set lo up"}
	for _, address := range addressesB {
		ofB = append(ofB, "addr add "+address+"/24 dev eth1")
	}
	return errors.Join(
		a.ip("link add eth1 type veth peer name eth1 netns "+b.path(),
			"addr add "+addressA+"/24 dev eth1",
			"link set eth1 up"),
		b.ip(append(ofB, "link set eth1 up")...))
}
