package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/hack/e2e/recorder/record"
)

// repeat is for looking harder.
var repeat = flag.Int("repeat", 1, "how often receivers are rolled, and killed, under events")

// tryLossEphemeral and tryLossPersistent hold that no event that was answered 2xx is
// lost, and that nobody is refused, while something is replaced, killed or gone.
func tryLossEphemeral(t *testing.T, r *rig) {
	tryLoss(t, newWorld(t, r, "e2e-loss-ephemeral", "192.0.2.2", v1alpha1.QueueEphemeral))
}

func tryLossPersistent(t *testing.T, r *rig) {
	tryLoss(t, newWorld(t, r, "e2e-loss-persistent", "192.0.2.3", v1alpha1.QueuePersistent))
}

func tryLoss(t *testing.T, w *world) {
	w.roll(t)
	w.deletePod(t)
	w.killReceiver(t)
	if w.r.short {
		return
	}
	w.evictBoth(t)
	w.killOperators(t)
	w.stopServer(t)
}

// first is one of an endpoint's receivers, the same one each time.
func (w *world) first(t *testing.T, p *play) *corev1.Pod {
	t.Helper()
	all := w.r.receivers(t, p.k)
	if len(all) == 0 {
		t.Fatalf("endpoint %s has no receivers", p.k)
	}
	slices.SortFunc(all, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return &all[0]
}

// roll replaces both receivers, because of a change of what they are given.
func (w *world) roll(t *testing.T) {
	t.Helper()
	w.through(t, "rolling update of the receivers"+times(), false, func(t *testing.T, line *row, log *timeline) {
		for i := range *repeat {
			began, before := time.Now(), w.everyone(t)
			log.begin("rolling update")
			patch := fmt.Sprintf(`{"spec":{"receiver":{"resources":{"requests":{"memory":"%dMi"}}}}}`, 65+i)
			w.each(func(p *play) { w.r.patch(t, w.namespace, "webhookendpoint/"+p.k.Name, patch) })
			w.each(func(p *play) { w.replaced(t, p, before) })
			line.note("in %s", seconds(time.Since(began)))
		}
	})
}

func times() string {
	if *repeat == 1 {
		return ""
	}
	return fmt.Sprintf(", %d times", *repeat)
}

// deletePod deletes a receiver of each endpoint while a sink is down, so that it has
// to leave something behind: for a sister, or on its volume.
func (w *world) deletePod(t *testing.T) {
	t.Helper()
	w.through(t, "a receiver pod deleted while a sink is down", false, func(t *testing.T, line *row, log *timeline) {
		w.each(func(p *play) { w.sink.mode(t, record.Mode{Path: p.pathOf("archive"), Mode: record.Fail}) })
		w.each(func(p *play) { p.more(t, 200) })
		log.begin("pods deleted")
		before, deleted := w.received(t), map[types.UID]corev1.Pod{}
		w.each(func(p *play) {
			pod := w.first(t, p)
			deleted[pod.UID] = *pod
			w.r.delete(t, pod)
		})
		w.each(func(p *play) { w.replaced(t, p, deleted) })
		if n := w.received(t) - before; n > 0 {
			line.note("%d deliveries handed over to sisters", n)
		} else if w.plays[0].queue == v1alpha1.QueueEphemeral {
			t.Error("nothing was handed over: the test tests nothing")
		}
		w.sink.mode(t, record.Mode{Mode: record.OK})
	})
}

// killReceiver kills the process of a receiver of each endpoint. Requests that it
// has at that moment stay without an answer, and some more find nobody until the
// cluster has noticed.
func (w *world) killReceiver(t *testing.T) {
	t.Helper()
	w.through(t, "a receiver of each endpoint killed with SIGKILL"+times(), true, func(t *testing.T, _ *row, log *timeline) {
		for i := range *repeat {
			if i > 0 {
				w.renew(t)
			}
			w.each(func(p *play) {
				pod := w.first(t, p)
				log.begin("SIGKILL of " + pod.Name)
				kill(t, pod, "receiver")
				w.restarted(t, p, pod)
			})
		}
	})
}

// renew replaces the receiver that was killed: the kubelet waits longer and longer
// before it restarts a container that has ended often.
func (w *world) renew(t *testing.T) {
	t.Helper()
	killed := map[types.UID]corev1.Pod{}
	w.each(func(p *play) {
		for uid, pod := range w.receivers(t, p) {
			if pod.Status.ContainerStatuses[0].RestartCount > 0 {
				killed[uid] = pod
				w.r.delete(t, &pod)
			}
		}
	})
	w.each(func(p *play) { w.replaced(t, p, killed) })
}

var (
	errGone    = errors.New("the pod is gone")
	errRefused = errors.New("the disruption budget does not let it")
)

// restarted waits until a killed receiver runs again.
func (w *world) restarted(t *testing.T, p *play, killed *corev1.Pod) {
	t.Helper()
	before := killed.Status.ContainerStatuses[0].RestartCount
	eventually(t, long, "the restart of "+killed.Name, func(context.Context) error {
		pod, ok := w.receivers(t, p)[killed.UID]
		if !ok {
			return errGone
		}
		if pod.Status.ContainerStatuses[0].RestartCount == before || !isReady(&pod) {
			return fmt.Errorf("%d restarts, ready %t", pod.Status.ContainerStatuses[0].RestartCount, isReady(&pod))
		}
		return nil
	})
}

// evictBoth evicts both receivers of each endpoint as fast as the budget lets it.
func (w *world) evictBoth(t *testing.T) {
	t.Helper()
	w.through(t, "both receivers evicted: the second only when the first is back", false, func(t *testing.T, line *row, log *timeline) {
		refused := 0
		log.begin("evictions")
		w.each(func(p *play) {
			before := w.receivers(t, p)
			pods := slices.Collect(maps.Values(before))
			if !w.r.evict(t, &pods[0]) {
				t.Fatalf("%s: the first eviction was refused", p.k.Name)
			}
			if w.r.evict(t, &pods[1]) {
				t.Errorf("%s: the second eviction was allowed at once", p.k.Name)
			}
			eventually(t, long, "the second eviction of "+p.k.Name, func(context.Context) error {
				if !w.r.evict(t, &pods[1]) {
					refused++
					return errRefused
				}
				return nil
			})
			others := 0
			for uid, pod := range w.receivers(t, p) {
				if uid != pods[0].UID && uid != pods[1].UID && isReady(&pod) {
					others++
				}
			}
			if others == 0 {
				t.Errorf("%s: the second eviction was allowed before the first receiver was back", p.k.Name)
			}
			w.replaced(t, p, before)
		})
		line.note("second evictions refused %d times", refused)
	})
}

// killOperators kills both operators.
func (w *world) killOperators(t *testing.T) {
	t.Helper()
	w.through(t, "both operators killed with SIGKILL", false, func(t *testing.T, _ *row, log *timeline) {
		log.begin("SIGKILL of operators")
		for _, pod := range w.r.pods(t, systemNamespace, operatorLabels()) {
			kill(t, &pod, "operator")
		}
		w.each(func(p *play) { p.more(t, 1000) })
		run(t, "", "kubectl", "rollout", "status", "-n", systemNamespace, "deployment/"+operatorName, "--timeout=120s")
	})
}

// stopServer stops the API server for a minute.
func (w *world) stopServer(t *testing.T) {
	t.Helper()
	w.through(t, "the API server stopped for a minute", false, func(t *testing.T, line *row, log *timeline) {
		log.begin("API server stops")
		began := time.Now()
		w.r.cluster(t, "apiserver", "stop")
		w.each(func(p *play) { p.more(t, max(0, int((time.Minute-time.Since(began))/every))) })
		w.r.cluster(t, "apiserver", "start")
		line.note("gone for %s", seconds(time.Since(began)))
	})
}

var counter = regexp.MustCompile(`(?m)^fairlead_receiver_received_deliveries_total\{[^}]*\} ([0-9.e+]+)$`)

// received counts the deliveries that the receivers got from sisters.
func (w *world) received(t *testing.T) (n int) {
	t.Helper()
	w.each(func(p *play) {
		for _, pod := range w.r.receivers(t, p.k) {
			for _, m := range counter.FindAllStringSubmatch(w.metrics(t, &pod), -1) {
				v, err := strconv.ParseFloat(m[1], 64)
				if err != nil {
					t.Fatal(err)
				}
				n += int(v)
			}
		}
	})
	return n
}

// metrics is what a receiver says of itself; nothing if it cannot be asked.
func (w *world) metrics(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+pod.Status.PodIP+":9090/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
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
