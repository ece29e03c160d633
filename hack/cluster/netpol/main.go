// netpol enforces networking.k8s.io/v1 NetworkPolicies for the pods of one node with nftables.
// It is a test tool: every change rebuilds one table in one nft transaction.
// Policies are applied in the forward hook, so the node's own traffic (kubelet probes) always passes.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os/exec"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type world struct {
	pods []*corev1.Pod
	ns   map[string]labels.Set
	pols []*netv1.NetworkPolicy
}

func sel(s *metav1.LabelSelector) labels.Selector {
	x, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return x
}

func live(p *corev1.Pod) bool {
	return p.Status.PodIP != "" && !p.Spec.HostNetwork && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// addrs turns one peer into a list of IPv4 prefixes and a list of exceptions.
func (w *world) addrs(ns string, peer netv1.NetworkPolicyPeer) (in, except []string) {
	if peer.IPBlock != nil {
		if p, err := netip.ParsePrefix(peer.IPBlock.CIDR); err != nil || !p.Addr().Is4() {
			return nil, nil
		}
		return []string{peer.IPBlock.CIDR}, peer.IPBlock.Except
	}
	for _, p := range w.pods {
		if !live(p) {
			continue
		}
		if peer.NamespaceSelector != nil {
			if !sel(peer.NamespaceSelector).Matches(w.ns[p.Namespace]) {
				continue
			}
		} else if p.Namespace != ns {
			continue
		}
		if peer.PodSelector != nil && !sel(peer.PodSelector).Matches(labels.Set(p.Labels)) {
			continue
		}
		in = append(in, p.Status.PodIP)
	}
	return in, nil
}

// ports gives nft matches, one per port; target is the pod whose named ports count (nil: any).
func ports(target *corev1.Pod, ps []netv1.NetworkPolicyPort) []string {
	if len(ps) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range ps {
		proto := "tcp"
		if p.Protocol != nil {
			proto = strings.ToLower(string(*p.Protocol))
		}
		switch {
		case p.Port == nil:
			out = append(out, "meta l4proto "+proto)
		case p.Port.StrVal != "":
			if target == nil {
				continue
			}
			for _, c := range target.Spec.Containers {
				for _, cp := range c.Ports {
					if cp.Name == p.Port.StrVal && strings.EqualFold(string(cp.Protocol), proto) {
						out = append(out, fmt.Sprintf("%s dport %d", proto, cp.ContainerPort))
					}
				}
			}
		case p.EndPort != nil:
			out = append(out, fmt.Sprintf("%s dport %d-%d", proto, p.Port.IntVal, *p.EndPort))
		default:
			out = append(out, fmt.Sprintf("%s dport %d", proto, p.Port.IntVal))
		}
	}
	return out
}

func (w *world) rules(dir string, ns string, peers []netv1.NetworkPolicyPeer, pm []string) []string {
	var out []string
	for _, port := range pm {
		if len(peers) == 0 {
			out = append(out, strings.TrimSpace(port+" return"))
		}
		for _, peer := range peers {
			in, except := w.addrs(ns, peer)
			if len(in) == 0 {
				continue
			}
			m := fmt.Sprintf("ip %s { %s }", dir, strings.Join(in, ", "))
			if len(except) > 0 {
				m += fmt.Sprintf(" ip %s != { %s }", dir, strings.Join(except, ", "))
			}
			out = append(out, strings.TrimSpace(m+" "+port)+" return")
		}
	}
	return out
}

func (w *world) ruleset() string {
	var b, inMap, egMap bytes.Buffer
	chains := ""
	sort.Slice(w.pods, func(i, j int) bool { return w.pods[i].UID < w.pods[j].UID })
	for _, p := range w.pods {
		if !live(p) {
			continue
		}
		var in, eg []string
		hasIn, hasEg := false, false
		for _, np := range w.pols {
			if np.Namespace != p.Namespace || !sel(&np.Spec.PodSelector).Matches(labels.Set(p.Labels)) {
				continue
			}
			types := np.Spec.PolicyTypes
			for _, t := range types {
				switch t {
				case netv1.PolicyTypeIngress:
					hasIn = true
					for _, r := range np.Spec.Ingress {
						in = append(in, w.rules("saddr", np.Namespace, r.From, ports(p, r.Ports))...)
					}
				case netv1.PolicyTypeEgress:
					hasEg = true
					for _, r := range np.Spec.Egress {
						eg = append(eg, w.rules("daddr", np.Namespace, r.To, ports(nil, r.Ports))...)
					}
				}
			}
		}
		id := strings.ReplaceAll(string(p.UID), "-", "")
		add := func(kind string, rules []string, m *bytes.Buffer) {
			fmt.Fprintf(&b, "\tchain %s-%s { # %s/%s\n", kind, id, p.Namespace, p.Name)
			for _, r := range rules {
				fmt.Fprintf(&b, "\t\t%s\n", r)
			}
			fmt.Fprintf(&b, "\t\tcounter drop\n\t}\n")
			fmt.Fprintf(m, "%s : jump %s-%s, ", p.Status.PodIP, kind, id)
		}
		if hasIn {
			add("in", in, &inMap)
		}
		if hasEg {
			add("eg", eg, &egMap)
		}
	}
	chains = b.String()
	var o strings.Builder
	o.WriteString("table ip netpol\ndelete table ip netpol\ntable ip netpol {\n" + chains)
	o.WriteString("\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tct state established,related accept\n")
	if egMap.Len() > 0 {
		fmt.Fprintf(&o, "\t\tip saddr vmap { %s}\n", egMap.String())
	}
	if inMap.Len() > 0 {
		fmt.Fprintf(&o, "\t\tip daddr vmap { %s}\n", inMap.String())
	}
	o.WriteString("\t}\n}\n")
	return o.String()
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "`file` that says where the API server is")
	flag.Parse()
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(cs, 0)
	kick := make(chan struct{}, 1)
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	h := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { poke() }, UpdateFunc: func(_, _ any) { poke() }, DeleteFunc: func(any) { poke() }}
	pods, nss, pols := f.Core().V1().Pods(), f.Core().V1().Namespaces(), f.Networking().V1().NetworkPolicies()
	for _, i := range []cache.SharedIndexInformer{pods.Informer(), nss.Informer(), pols.Informer()} {
		i.AddEventHandler(h)
	}
	ctx := context.Background()
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	last := ""
	for {
		w := world{ns: map[string]labels.Set{}}
		w.pods, _ = pods.Lister().List(labels.Everything())
		w.pods = append([]*corev1.Pod(nil), w.pods...)
		w.pols, _ = pols.Lister().List(labels.Everything())
		ns, _ := nss.Lister().List(labels.Everything())
		for _, n := range ns {
			w.ns[n.Name] = labels.Set(n.Labels)
		}
		if rs := w.ruleset(); rs != last {
			c := exec.Command("nft", "-f", "-")
			c.Stdin = strings.NewReader(rs)
			if out, err := c.CombinedOutput(); err != nil {
				log.Printf("nft: %v: %s\n%s", err, out, rs)
			} else {
				last = rs
				log.Printf("applied %d policies to %d pods", len(w.pols), len(w.pods))
			}
		}
		<-kick
		time.Sleep(50 * time.Millisecond)
	}
}
