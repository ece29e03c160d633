package cluster_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Where the pod web can be reached, besides at its own address.
const (
	clusterIP    = "http://10.96.0.80/"
	nodePort     = "http://10.240.0.10:30080/"
	loadBalancer = "http://192.0.2.80/"
	apiServer    = "http://10.240.0.10:6443/" // which says that it wants TLS
)

// Hosts outside of the cluster, and what listens there.
const (
	listed, unlisted     = "203.0.113.5", "203.0.113.200"
	atListed, atUnlisted = "http://" + listed + ":8080/", "http://" + unlisted + ":8080/"
	pathInImage, port    = "/usr/local/bin/peer", ":8080/"
)

// What is said, besides an address.
const (
	some = "some" // another's address: kube-proxy hides that of the client behind the node's
	none = "none"
)

// TestLevel3 shows what a node is there for: pods that run, are found by DNS and by
// every kind of Service, and are reached by those whom policies let through.
func TestLevel3(t *testing.T) {
	t.Parallel()
	before := machine(t)
	c := up(t)
	w := &world{cluster: c, peer: c.importPeer()}
	c.script("client", "add", "listed", listed)
	c.script("client", "add", "unlisted", unlisted)
	w.serve("listed")
	w.serve("unlisted")
	c.kubectl("apply", "-f", "testdata/world.yaml")
	c.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=2m")
	c.kubectl("-n", "elsewhere", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=2m")
	c.kubectl("patch", "service", "web-outside", "--subresource=status", "--type=merge",
		"-p", `{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.80","ipMode":"VIP"}]}}}`)
	w.find()
	w.names()
	w.ingress()
	w.egress()
	w.withoutAPIServer()
	left := whatIs(t, c)
	c.script("down")
	left.checkGone(t)
	if after := machine(t); after != before {
		t.Errorf("the machine was\n%s\nand now is\n%s", before, after)
	}
}

// A world is a cluster with the pods of testdata/world.yaml and two clients.
type world struct {
	*cluster
	peer                             string // path of the program
	web, friend, stranger, neighbour string // addresses
	toWeb                            []string

	// What runs the program there.
	fromListed, fromUnlisted, fromNode, fromFriend, fromStranger, fromNeighbour []string
}

func (w *world) find() {
	w.web, w.friend = w.get("pod/web", ".status.podIP"), w.get("pod/friend", ".status.podIP")
	w.stranger = w.get("pod/stranger", ".status.podIP")
	w.neighbour = w.kubectl("-n", "elsewhere", "get", "pod/neighbour", "-o", "jsonpath={.status.podIP}")
	w.toWeb = []string{"http://" + w.web + port, clusterIP, nodePort, loadBalancer}
	w.fromListed = []string{"client", "exec", "listed", w.peer}
	w.fromUnlisted = []string{"client", "exec", "unlisted", w.peer}
	w.fromNode = []string{"exec", w.peer}
	w.fromFriend = []string{"exec", "kubectl", "exec", "friend", "--", pathInImage}
	w.fromStranger = []string{"exec", "kubectl", "exec", "stranger", "--", pathInImage}
	w.fromNeighbour = []string{"exec", "kubectl", "-n", "elsewhere", "exec", "neighbour", "--", pathInImage}
}

// serve has a client answer, too.
func (w *world) serve(client string) {
	cmd := exec.Command("./cp.sh", "client", "exec", client, w.peer)
	cmd.Env = w.environ()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // the cluster's end ended it, if the test came so far
		_ = cmd.Wait()
	})
}

// asked returns what everybody is told who asks at urls, all at once. An address that
// is not the asker's own is some.
func (w *world) asked(who map[string][]string, urls ...string) map[string][]string {
	own := []string{listed, unlisted, w.friend, w.stranger, w.neighbour, none}
	all := map[string][]string{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for name, from := range who {
		group.Go(func() {
			said := w.ask(from, urls...)
			for i, s := range said {
				if !slices.Contains(own, s) {
					said[i] = some
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all[name] = said
		})
	}
	group.Wait()
	return all
}

// names holds that pods find Services by DNS, also one without an address.
func (w *world) names() {
	urls := []string{"http://web/", "http://web.default.svc.cluster.local/", "http://web-headless:8080/", "http://web.elsewhere/"}
	w.eventually("names", map[string][]string{"stranger": {w.stranger, w.stranger, w.stranger, none}}, func() map[string][]string {
		return w.asked(map[string][]string{"stranger": w.fromStranger}, urls...)
	})
}

// ingress shows who reaches web at its own address, its Service's, the node's and the
// load balancer's, and whom web sees.
func (w *world) ingress() {
	who := map[string][]string{
		"listed": w.fromListed, "unlisted": w.fromUnlisted, "node": w.fromNode,
		"friend": w.fromFriend, "stranger": w.fromStranger, "neighbour": w.fromNeighbour,
	}
	everybody := map[string][]string{
		"listed": {listed, some, some, listed}, "unlisted": {unlisted, some, some, unlisted},
		"node":   {some, some, some, some},
		"friend": {w.friend, w.friend, some, w.friend}, "stranger": {w.stranger, w.stranger, some, w.stranger},
		"neighbour": {w.neighbour, w.neighbour, some, w.neighbour},
	}
	nobody := []string{none, none, none, none}
	judged := map[string][]string{
		"listed": everybody["listed"], "unlisted": nobody, "node": everybody["node"],
		"friend": everybody["friend"], "stranger": nobody, "neighbour": everybody["neighbour"],
	}
	compare := func(what string, want map[string][]string) {
		w.t.Helper()
		w.eventually(what, want, func() map[string][]string { return w.asked(who, w.toWeb...) })
	}
	compare("no policy", everybody)
	w.kubectl("apply", "-f", "testdata/ingress.yaml")
	compare("with a policy", judged)
	if got := w.get("pod/web", `.status.conditions[?(@.type=="Ready")].status`); got != "True" {
		w.t.Errorf("web is Ready: %s; the kubelet must get through", got)
	}
	w.script("netpol", "stop")
	compare("nobody enforces it", everybody)
	w.script("netpol", "start")
	compare("it is enforced again", judged)
	w.kubectl("delete", "-f", "testdata/ingress.yaml")
	compare("without the policy", everybody)
}

// egress shows whom friend reaches, and that nobody else is concerned.
func (w *world) egress() {
	urls := append(w.toWeb, "http://web/", atListed, atUnlisted, "http://"+w.stranger+port, apiServer)
	who := map[string][]string{"friend": w.fromFriend, "stranger": w.fromStranger}
	free := []string{w.stranger, w.stranger, some, w.stranger, w.stranger, w.stranger, w.stranger, w.stranger, some}
	w.kubectl("apply", "-f", "testdata/egress.yaml")
	w.eventually("egress", map[string][]string{
		"friend":   {w.friend, w.friend, some, w.friend, w.friend, w.friend, none, none, none},
		"stranger": free,
	}, func() map[string][]string { return w.asked(who, urls...) })
	w.kubectl("delete", "-f", "testdata/egress.yaml")
}

// withoutAPIServer holds that pods are reached while nobody can ask for others.
func (w *world) withoutAPIServer() {
	w.script("apiserver", "stop")
	if out, err := w.try("exec", "kubectl", "get", "pod"); err == nil {
		w.t.Errorf("the API server said %s", out)
	}
	want := map[string][]string{"listed": {listed, some, some, listed}}
	if got := w.asked(map[string][]string{"listed": w.fromListed}, w.toWeb...); !slices.Equal(got["listed"], want["listed"]) {
		w.t.Errorf("without an API server: %v, want %v", got, want)
	}
	w.script("apiserver", "start")
	w.kubectl("get", "pod", "web")
}

// TestParentKilled holds that a cluster of level 3 ends with the process that it is
// for, also while that of the test above is beside it.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	parent := exec.Command("sleep", "infinity")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = parent.Process.Kill()
		_ = parent.Wait() // it was killed
	})
	defer end()
	c := up(t, "FAIRLEAD_CLUSTER_PARENT="+strconv.Itoa(parent.Process.Pid))
	left := whatIs(t, c)
	end()
	c.eventually("the folder", map[string][]string{"R": nil}, func() map[string][]string {
		found, err := filepath.Glob(c.R)
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]string{"R": found}
	})
	left.checkGone(t)
}
