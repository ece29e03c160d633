package source_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/receiver/source"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func findings() *source.Findings {
	return source.NewFindings(addrs("192.168.1.5", "2001:db8:1::5"), addrs("10.244.3.17", "fd00:10:244:3::11"))
}

// TestKinds is what each address says about where a request comes from.
func TestKinds(t *testing.T) {
	now := time.Unix(1e9, 0)
	for addr, want := range map[string]source.Kind{
		"203.0.113.7": source.Public, "2001:db8::7": source.Public, "::ffff:203.0.113.7": source.Public,
		"192.168.1.5": source.Node, "2001:db8:1::5": source.Node, "::ffff:192.168.1.5": source.Node,
		"10.244.3.1": source.Pod, "10.244.3.255": source.Pod, "fd00:10:244:3:ffff::": source.Pod,
		"10.244.4.1": source.Private, "fd00:10:244:4::1": source.Private, "192.168.1.6": source.Private, "172.16.0.1": source.Private,
		"127.0.0.1": source.Private, "::1": source.Private, "169.254.1.1": source.Private, "fe80::1%eth0": source.Private,
		"100.64.0.1": source.Private, "100.127.255.255": source.Private, "100.128.0.1": source.Public, "224.0.0.1": source.Private, "0.0.0.0": source.Private,
	} {
		for _, listed := range []bool{false, true} {
			f, kind := findings(), want
			if listed && want != source.Node {
				kind = source.Listed
			}
			f.Verified(netip.MustParseAddr(addr), listed, now)
			if r := f.Report(now); r.Kinds[kind] != 1 || r.Verified() != 1 {
				t.Errorf("%s (listed: %v): %v, want kind %d", addr, listed, r.Kinds, kind)
			}
		}
	}
}

// What is older than an hour is forgotten.
func TestFindingsForget(t *testing.T) {
	f, begin := findings(), time.Unix(1e9, 0)
	for i := range 24 { // two hours
		now := begin.Add(time.Duration(i) * 5 * time.Minute)
		f.Verified(netip.MustParseAddr("203.0.113.7"), true, now)
		f.Unknown(now)
		if r := f.Report(now); r.Verified() != int64(min(i+1, 12)) || r.Unknown != r.Verified() {
			t.Errorf("after %d periods: %+v", i, r)
		}
	}
	for after, want := range map[time.Duration]int64{0: 12, time.Minute: 12, 30 * time.Minute: 6, 2 * time.Hour: 0, -24 * time.Hour: 0} {
		if r := f.Report(begin.Add(23*5*time.Minute + after)); r.Verified() != want {
			t.Errorf("%s later: %+v, want %d", after, r, want)
		}
	}
}

// Many addresses take no more memory than 64 do, and are still counted by kind.
func TestManyAddresses(t *testing.T) {
	f, now := findings(), time.Unix(1e9, 0)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 5000 {
				f.Verified(netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), byte(n)}), false, now)
				f.Verified(netip.MustParseAddr("198.51.100.1"), true, now)
				f.Verified(netip.MustParseAddr("192.168.1.5"), true, now)
			}
		})
	}
	all.Wait()
	r := f.Report(now)
	if r.Kinds[source.Public] != 20000 || r.Kinds[source.Listed] != 20000 || r.Kinds[source.Node] != 20000 || r.Publics < 2 || r.Publics > 64 {
		t.Errorf("%+v", r)
	}
	if len(r.Addresses) != 8 {
		t.Errorf("addresses = %v", r.Addresses)
	}
}

// The addresses that are told are those from which most came, in order.
func TestAddresses(t *testing.T) {
	f, now := findings(), time.Unix(1e9, 0)
	for i := range 10 {
		for range 10 - i {
			f.Verified(netip.AddrFrom4([4]byte{203, 0, 113, byte(100 - i)}), false, now)
		}
	}
	want := addrs("203.0.113.93", "203.0.113.94", "203.0.113.95", "203.0.113.96", "203.0.113.97", "203.0.113.98", "203.0.113.99", "203.0.113.100")
	if diff := cmp.Diff(want, f.Report(now).Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFindingsAllocateNothing(t *testing.T) {
	f, now, a := findings(), time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7")
	f.Verified(a, true, now)
	if n := testing.AllocsPerRun(100, func() { f.Verified(a, true, now); f.Unknown(now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFindings(b *testing.B) {
	f, now := findings(), time.Unix(1e9, 0)
	list := addrs("203.0.113.7", "203.0.113.8", "203.0.113.9", "198.51.100.1")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			f.Verified(list[i%len(list)], true, now)
		}
	})
}
