package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// long is for what takes several receivers' starts and ends, one after the other.
const long = 6 * time.Minute

func sinkNames() []string { return []string{"app", "archive"} }

// play is an endpoint with the provider that sends to it.
type play struct {
	*player
	k     key
	queue v1alpha1.QueueType
	// sent are the digests of all events of earlier runs.
	sent map[string]bool
}

// pathOf is the path of one of the endpoint's sinks at the recorder.
func (p *play) pathOf(sink string) string { return "/" + p.k.Name + "/" + sink }

// world is a namespace with an endpoint for each provider and type of queue, two
// receivers each, and one recorder that is all sinks.
type world struct {
	r         *rig
	namespace string
	sink      *sink
	plays     []*play
}

// newWorld makes a world, and returns when its endpoints are Ready. Addresses of the
// load balancers begin with vip, such as 192.0.2.2.
func newWorld(t *testing.T, r *rig, namespace, vip string, queues ...v1alpha1.QueueType) *world {
	t.Helper()
	w := &world{r: r, namespace: namespace}
	volumes := r.volumes(t, namespace)
	r.namespace(t, namespace)
	w.sink = r.sink(t, namespace, "recorder")
	r.apply(t, signingSecret(namespace, streamChat), signingSecret(namespace, socialPlus))
	hosts := map[string]*host{streamChat: r.host(t, streamUSEast), socialPlus: r.host(t, socialSingapore)}
	secrets := map[string]string{streamChat: streamKey + " " + streamSecret, socialPlus: socialSecret}
	for _, q := range queues {
		for _, provider := range []string{streamChat, socialPlus} {
			name := strings.ToLower(string(q)) + "-" + provider
			address := fmt.Sprintf("%s%d", vip, len(w.plays))
			p := &play{k: key{Namespace: namespace, Name: name}, queue: q, sent: map[string]bool{},
				player: newPlayer(t, hosts[provider], provider, "http://"+address+"/hooks", secrets[provider])}
			if q == v1alpha1.QueuePersistent {
				volumes(name, 2)
			}
			r.apply(t, w.manifest(p))
			r.balance(t, p.k, address)
			w.plays = append(w.plays, p)
		}
	}
	for _, p := range w.plays {
		r.ready(t, p.k)
	}
	return w
}

// manifest is an endpoint. The kubelet and the operator have all else by default.
func (w *world) manifest(p *play) string {
	var sinks strings.Builder
	for _, s := range sinkNames() {
		// A sink that was down is tried again soon: the tests wait for it.
		fmt.Fprintf(&sinks, "  - {name: %s, http: {url: %s%s}, delivery: {minBackoff: 1s, maxBackoff: 5s}}\n", s, w.sink.url, p.pathOf(s))
	}
	class := ""
	if p.queue == v1alpha1.QueuePersistent {
		class = ", storageClassName: " + volumeClass
	}
	return manifest(p.k, p.provider, fmt.Sprintf(`
  sinks:
%s
  queue: {type: %s, capacity: 128Mi%s}
  exposure: {type: LoadBalancer, path: /hooks}
  receiver: {replicas: 2, resources: {requests: {cpu: 10m, memory: 64Mi}}}
`, strings.TrimRight(sinks.String(), "\n"), p.queue, class))
}

// forget has the recorder start anew.
func (s *sink) forget(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.address+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// receivers are an endpoint's, also those that are on their way out.
func (w *world) receivers(t *testing.T, p *play) map[types.UID]corev1.Pod {
	t.Helper()
	all := map[types.UID]corev1.Pod{}
	for _, pod := range w.r.pods(t, w.namespace, receiverLabels(p.k.Name)) {
		all[pod.UID] = pod
	}
	return all
}

// everyone is the receivers of all endpoints.
func (w *world) everyone(t *testing.T) map[types.UID]corev1.Pod {
	t.Helper()
	all := map[types.UID]corev1.Pod{}
	w.each(func(p *play) { maps.Copy(all, w.receivers(t, p)) })
	return all
}

// replaced waits until none of the pods are left, and two others are there and
// ready.
func (w *world) replaced(t *testing.T, p *play, gone map[types.UID]corev1.Pod) {
	t.Helper()
	eventually(t, long, "new receivers of "+p.k.String(), func(context.Context) error {
		ready := 0
		for uid, pod := range w.receivers(t, p) {
			if _, ok := gone[uid]; ok {
				return fmt.Errorf("%s is still there", pod.Name)
			}
			if isReady(&pod) {
				ready++
			}
		}
		if ready != 2 {
			return fmt.Errorf("%d are ready", ready)
		}
		return nil
	})
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

// through has the providers send, disrupts something, and accounts for every event.
// Every request is to be answered 200, unless it is allowed that some are not.
func (w *world) through(t *testing.T, shows string, allowed bool, disrupt func(*testing.T, *row, *timeline)) {
	t.Helper()
	w.r.step(t, shows, func(t *testing.T, line *row) {
		w.sink.mode(t, record.Mode{Mode: record.OK})
		w.sink.forget(t)
		for _, p := range w.plays {
			p.begin(t, every)
		}
		w.each(func(p *play) { p.more(t, 100) })
		log, pulse := watch(t, w), newPulse(t)
		disrupt(t, line, log)
		w.each(func(p *play) { p.more(t, 100) })
		ended := map[*play][]probe.Result{}
		sums := map[*play]*probe.Summary{}
		for _, p := range w.plays {
			ended[p], sums[p] = p.end(t)
		}
		log.end()
		longest := pulse.end()
		if longest >= tooLong {
			line.note("the machine was too busy, or stood still, for up to %s", seconds(longest))
		}
		for _, p := range w.plays {
			log.add(p, ended[p])
		}
		log.write(t)
		for _, p := range w.plays {
			b := w.account(t, p, ended[p], sums[p])
			line.note("%s %s", p.queue, b)
			if b.summary.Sent > b.summary.Successes {
				line.note("%s", log.explain(p, ended[p]))
			}
			if n := broken(ended[p], longest); n > 0 && !allowed {
				t.Errorf("%s: %d of %d requests were not answered 200", p.k.Name, n, b.summary.Sent)
			}
		}
		w.healthy(t)
	})
}

// healthy waits until the endpoints are Ready again.
func (w *world) healthy(t *testing.T) {
	t.Helper()
	for _, p := range w.plays {
		w.r.becomes(t, p.k, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	}
}

func (w *world) each(do func(*play)) {
	for _, p := range w.plays {
		do(p)
	}
}
