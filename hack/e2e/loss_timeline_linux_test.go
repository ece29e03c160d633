package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/hack/e2e/prober/probe"
)

// moment is something that happened.
type moment struct {
	at   time.Time
	what string
}

// timeline is what happened to receivers, to what the cluster says of them, and to
// requests: whoever reads it sees what a request without an answer ran into.
type timeline struct {
	world *world
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu  sync.Mutex
	all []moment
}

// watch looks at pods and endpoint slices until end.
func watch(t *testing.T, w *world) *timeline {
	t.Helper()
	l := &timeline{world: w}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	l.ended.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		seen := map[string]string{}
		for {
			now := l.look(ctx)
			if ctx.Err() != nil {
				return
			}
			for what, state := range now {
				if seen[what] != state {
					l.say("%s: %s", what, state)
				}
			}
			for what := range seen {
				if _, ok := now[what]; !ok {
					l.say("%s: gone", what)
				}
			}
			seen = now
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return l
}

// look is the state of everything now.
func (l *timeline) look(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	now := map[string]string{}
	var pods corev1.PodList
	var slices discoveryv1.EndpointSliceList
	in := client.InNamespace(l.world.namespace)
	if l.world.r.kube.List(ctx, &pods, in) != nil || l.world.r.kube.List(ctx, &slices, in) != nil {
		return map[string]string{"API server": "does not answer"}
	}
	for _, p := range pods.Items {
		restarts := int32(0)
		for _, c := range p.Status.ContainerStatuses {
			restarts += c.RestartCount
		}
		now["pod "+p.Name] = fmt.Sprintf("%s %s ready=%t terminating=%t restarts=%d", p.Status.PodIP, p.Status.Phase, isReady(&p), p.DeletionTimestamp != nil, restarts)
	}
	for _, s := range slices.Items {
		if strings.Contains(s.Name, "headless") {
			continue
		}
		for _, e := range s.Endpoints {
			now["endpoint "+s.Labels[discoveryv1.LabelServiceName]+" "+e.Addresses[0]] = fmt.Sprintf("ready=%t serving=%t terminating=%t", truth(e.Conditions.Ready), truth(e.Conditions.Serving), truth(e.Conditions.Terminating))
		}
	}
	return now
}

func truth(b *bool) bool { return b != nil && *b }

// say adds something that happens now.
func (l *timeline) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, moment{time.Now(), fmt.Sprintf(format, args...)})
}

// beginning is what the moments of disruptions begin with.
const beginning = "BEGIN: "

// begin says that a disruption begins now.
func (l *timeline) begin(what string) {
	l.say("%s%s", beginning, what)
}

func (l *timeline) end() {
	l.stop()
	l.ended.Wait()
}

// add adds the requests that had no success.
func (l *timeline) add(p *play, results []probe.Result) {
	for _, r := range results {
		if !r.Success() {
			l.all = append(l.all, moment{r.Finished, fmt.Sprintf("REQUEST %s %s: %s %d, after %s, reused=%t wrote=%t from %s: %s",
				p.k.Name, r.ID, r.Outcome, r.Status, r.Finished.Sub(r.Started).Round(time.Millisecond), r.Reused, r.Wrote, r.Local, r.Detail)})
		}
	}
}

// write keeps the timeline in a file, whatever came of the test.
func (l *timeline) write(t *testing.T) {
	t.Helper()
	slices.SortFunc(l.all, func(a, b moment) int { return a.at.Compare(b.at) })
	var text strings.Builder
	for _, m := range l.all {
		fmt.Fprintf(&text, "%s %8.3f %s\n", m.at.UTC().Format("15:04:05.000"), m.at.Sub(l.before(m.at)).Seconds(), m.what)
	}
	name := strings.NewReplacer("/", "-", " ", "-", ":", "", ",", "").Replace(t.Name())
	if err := os.WriteFile(filepath.Join(l.world.r.out, name[:min(len(name), 150)]+".timeline"), []byte(text.String()), 0o600); err != nil {
		t.Error(err)
	}
}

// span is some requests that went wrong alike, from when to when after the last
// disruption before them.
type span struct {
	n           int
	first, last time.Duration
}

// explain says when the requests without success were sent after a disruption began.
func (l *timeline) explain(p *play, results []probe.Result) string {
	spans := map[string]span{}
	for _, r := range results {
		if r.Success() {
			continue
		}
		name := string(r.Outcome)
		if r.Outcome == probe.Answered {
			name = fmt.Sprint(r.Status)
		}
		at, s := r.Finished.Sub(l.before(r.Finished)), spans[name]
		if s.n == 0 {
			s.first = at
		}
		spans[name] = span{s.n + 1, min(s.first, at), max(s.last, at)}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(spans)) {
		s := spans[name]
		parts = append(parts, fmt.Sprintf("%d %s between %.2f s and %.2f s after it began", s.n, name, s.first.Seconds(), s.last.Seconds()))
	}
	if w := l.withdrawn(); w != "" {
		parts = append(parts, w)
	}
	return fmt.Sprintf("%s: %s", p.k.Name, strings.Join(parts, ", "))
}

// before is when the last disruption before a moment began.
func (l *timeline) before(at time.Time) time.Time {
	last := l.all[0].at
	for _, m := range l.all {
		if strings.HasPrefix(m.what, beginning) && !m.at.After(at) {
			last = m.at
		}
	}
	return last
}

// withdrawn says when the cluster stopped sending new connections to receivers that
// were disrupted.
func (l *timeline) withdrawn() string {
	var times []time.Duration
	for _, m := range l.all {
		if strings.HasPrefix(m.what, "endpoint ") && strings.Contains(m.what, ": ready=false serving=false") {
			times = append(times, m.at.Sub(l.before(m.at)))
		}
	}
	if len(times) == 0 {
		return ""
	}
	return fmt.Sprintf("its address withdrawn from the Service after %.2f s to %.2f s", slices.Min(times).Seconds(), slices.Max(times).Seconds())
}
