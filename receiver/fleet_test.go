package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/queue/embedded"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// fleet is the receivers of one endpoint, each in a process of its own with a data
// directory of its own, as the pods of an Ephemeral endpoint are. Each has one of a
// few addresses of loopback, and knows them all as its peers.
type fleet struct {
	t     *testing.T
	dir   string
	port  string
	slots []string // who has which address; empty: nobody
	names int
	hosts func(slot int) string // the addresses
	// through is where others reach an address.
	through func(slot int) string
	ended   []*pod
	// flags are those of all receivers, besides the usual.
	flags []string
}

// slots is how many addresses a fleet has.
const slots = 4

// pod is one receiver of a fleet.
type pod struct {
	*child
	name, dir string
	slot      int
	message   string
}

// newFleet makes one without receivers. number tells the addresses of fleets apart.
func newFleet(t *testing.T, number int, c *v1alpha1.Config) *fleet {
	t.Helper()
	l := servertest.Listen(t)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	f := &fleet{t: t, dir: t.TempDir(), port: port, slots: make([]string, slots)}
	f.hosts = func(slot int) string { return fmt.Sprintf("127.0.%d.%d:%s", number, 10+slot, port) }
	f.through = f.hosts
	write(t, f.dir, servertest.Encode(t, c))
	return f
}

// start starts one more receiver.
func (f *fleet) start() *pod {
	f.t.Helper()
	for slot, holder := range f.slots {
		if holder == "" {
			f.names++
			return f.startAt(&pod{name: fmt.Sprint("pod-", f.names), slot: slot})
		}
	}
	f.t.Fatal("every address is in use")
	return nil
}

func (f *fleet) startAt(p *pod) *pod {
	f.t.Helper()
	var peers []string
	for slot := range f.slots {
		peers = append(peers, f.through(slot))
	}
	p.dir, p.message = filepath.Join(f.dir, p.name), filepath.Join(f.dir, p.name+".message")
	f.slots[p.slot] = p.name
	p.child = spawn(f.t, f.dir, append([]string{"--data-dir", p.dir, "--internal-listen", f.hosts(p.slot), "--peers", strings.Join(peers, ","),
		"--termination-message", p.message}, f.flags...)...)
	return p
}

// remove waits until a receiver that was asked to stop has done so.
func (f *fleet) remove(p *pod) {
	f.t.Helper()
	p.wait()
	f.slots[p.slot] = ""
	f.ended = append(f.ended, p)
}

// parting is what a receiver said at its end; nothing if it had nothing to say.
func (p *pod) parting() statusz.Parting {
	p.t.Helper()
	var out statusz.Parting
	b, err := os.ReadFile(p.message)
	if os.IsNotExist(err) {
		return out
	}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// account is a ledger, summed over sinks.
type account struct {
	Accepted, Received, Delivered, Dead, Dropped, HandedOver, Queued int64
	// Kept counts the dead letters that are kept, and Given those that went.
	Kept, Given int64
}

func (a account) plus(b account) account {
	return account{a.Accepted + b.Accepted, a.Received + b.Received, a.Delivered + b.Delivered, a.Dead + b.Dead, a.Dropped + b.Dropped,
		a.HandedOver + b.HandedOver, a.Queued + b.Queued, a.Kept + b.Kept, a.Given + b.Given}
}

// book reads the ledger of a receiver that has ended from its data directory.
func (p *pod) book() account {
	p.t.Helper()
	q, err := embedded.Open(embedded.Options{Dir: p.dir})
	if err != nil {
		p.t.Fatal(err)
	}
	defer q.Close()
	var a account
	for _, s := range q.Stats().Sinks {
		a = a.plus(account{s.Accepted, s.Received, s.Delivered, s.Dead, s.Dropped, s.HandedOver, s.Queued, s.DeadLetters, s.DeadLettersHandedOver})
	}
	return a
}

var counted = regexp.MustCompile(`(?m)^(fairlead_receiver_\w+)(?:\{(.*)\})? ([0-9.e+-]+)$`)

// metric sums the series of a metric whose labels contain label.
func (p *pod) metric(name, label string) (sum int64) {
	for _, m := range counted.FindAllStringSubmatch(p.get("/metrics"), -1) {
		if m[1] == "fairlead_receiver_"+name && strings.Contains(m[2], label) {
			v, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				p.t.Fatal(err)
			}
			sum += int64(v)
		}
	}
	return sum
}

// shown is the ledger as the metrics show it.
func (p *pod) shown() account {
	p.t.Helper()
	state := func(s string) int64 { return p.metric("deliveries_total", `state="`+s+`"`) }
	return account{state("accepted"), p.metric("received_deliveries_total", ""), state("delivered"), state("dead"), state("dropped"), state("handed_over"),
		p.metric("queue_deliveries", ""), p.metric("dead_letters", ""), p.metric("dead_letters_ended_total", `end="handed_over"`)}
}

// get reads a page of telemetry; it is empty if there is none.
func (p *pod) get(path string) string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.telemetry+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(b)
}

// close ends what still runs, and checks that what each receiver showed at its end
// is what it kept. It returns the books of all of them together.
func (f *fleet) close(running ...*pod) account {
	f.t.Helper()
	for _, p := range running {
		before := p.shown()
		p.terminate()
		servertest.Until(f.t, "the stop to begin", func() bool { return !strings.Contains(p.get("/statusz"), `"draining": false`) })
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // nobody is there to take its dead letters; it need not look for long
		f.remove(p)
		if diff := cmp.Diff(before, p.book()); diff != "" {
			f.t.Errorf("the metrics of %s before its end, and its books after it (-metrics +books):\n%s", p.name, diff)
		}
	}
	var all account
	for _, p := range f.ended {
		a := p.book()
		if a.Accepted != a.Delivered+a.Dead+a.Dropped+a.HandedOver+a.Queued {
			f.t.Errorf("the books of %s do not add up: %+v", p.name, a)
		}
		all = all.plus(a)
	}
	return all
}

// balanced checks the books of a whole fleet: what providers gave is where it
// should be, and what was handed over has arrived.
func (f *fleet) balanced(all account, unique int64) {
	f.t.Helper()
	if all.Accepted-all.Received != unique || unique != all.Delivered+all.Kept+all.Queued || all.HandedOver+all.Given != all.Received || all.Dropped != 0 {
		f.t.Errorf("%d deliveries were accepted from providers, and the books say %+v", unique, all)
	}
}
