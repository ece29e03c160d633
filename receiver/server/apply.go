package server

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	api "github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/receiver/filter"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/source"
	"github.com/fairlead-dev/fairlead/receiver/verify"
)

func dropsOldest(w api.WhenFull) bool { return w == api.WhenFullDropOldest }

// reload takes a change of configuration or secrets. One that does not load
// leaves the last good one working, and is told.
func (r *Receiver) reload() {
	snap, err := reload.Read(r.o.Source)
	if err == nil {
		err = r.check(snap)
	}
	if err == nil {
		if r.same(snap) {
			return
		}
		err = r.apply(snap)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	r.o.Logger.Info("Configuration and secrets were taken", "generation", snap.Config.Endpoint.Generation, "secretEntries", len(snap.Entries))
}

// check refuses what a running receiver cannot change into.
func (r *Receiver) check(snap *reload.Snapshot) error {
	is, was := snap.Config.Endpoint, r.Config().Endpoint
	if is.Namespace != was.Namespace || is.Name != was.Name {
		return fmt.Errorf("the configuration is for endpoint %s/%s, and this receiver serves %s/%s", is.Namespace, is.Name, was.Namespace, was.Name)
	}
	return nil
}

func (r *Receiver) same(snap *reload.Snapshot) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := r.state.snapshot.Digest == snap.Digest
	if same {
		r.state.refused = ""
	}
	return same
}

// refuse reports a configuration that is not taken, once for each reason.
func (r *Receiver) refuse(err error) {
	r.mu.Lock()
	news := r.state.refused != err.Error()
	r.state.refused = err.Error()
	r.mu.Unlock()
	if news {
		r.metrics.ConfigRefused()
		r.o.Logger.Error("The new configuration is not taken; the last good one goes on", "err", err)
	}
}

// apply makes a snapshot the one in use. On an error the one before stays in
// use, unless said otherwise. Sinks are added before the first event is routed to
// them, and removed after the last one was. It is called once at a time. Who asks
// for the status meanwhile does not wait for attempts at sinks that are removed.
func (r *Receiver) apply(snap *reload.Snapshot) error {
	c := snap.Config
	scheme, err := verify.New(c.Signatures, c.URL)
	if err != nil {
		return fmt.Errorf("preparing signatures: %w", err)
	}
	router, err := r.newRouter(c)
	if err != nil {
		return fmt.Errorf("preparing filters: %w", err)
	}
	before := r.responders.Load()
	responders, err := r.newResponders(snap, before)
	if err != nil {
		return err
	}
	keys, problems := scheme.Keys(entries(snap))
	wanted := sinkNames(c)
	if err := r.queue.SetSinks(union(wanted, r.running())); err != nil {
		return fmt.Errorf("preparing sinks: %w", err)
	}
	if err := r.intake.Update(c, scheme, keys, responders.set); err != nil {
		return err
	}
	r.responders.Store(responders)
	before.closeBut(responders)
	r.router.Store(router)
	r.config.Store(c)
	r.trusted.Store(source.NewSet(c.Sources.TrustedProxies))
	r.queue.SetLimits(queueLimits(c))
	removed, err := r.use(snap, state{snapshot: snap, keys: keys, problems: problems, loadedAt: r.o.Now()})
	if err != nil {
		return err
	}
	stopAll(removed, cfgPatience)
	if err := r.queue.SetSinks(wanted); err != nil {
		r.retry() // the new configuration is in use, but for this
		return fmt.Errorf("removing sinks: %w", err)
	}
	r.metrics.ConfigLoaded(c.Endpoint.Generation)
	for _, p := range problems {
		r.o.Logger.Warn("A signing secret has a problem", "entry", p.Entry, "problem", p.Text, "used", !p.Fatal)
	}
	return nil
}

// running lists the sinks that have a dispatcher.
func (r *Receiver) running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.sinks))
}

// use changes sinks and state in one step. It returns the sinks that are no longer
// wanted, still at work.
func (r *Receiver) use(snap *reload.Snapshot, s state) (removed []*runningSink, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if removed, err = r.setSinks(snap); err != nil {
		return nil, err
	}
	r.state = s
	return removed, nil
}

// retry has the next look at the files take them for changed.
func (r *Receiver) retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := *r.state.snapshot
	again.Digest = [sha256.Size]byte{}
	r.state.snapshot = &again
}

func entries(snap *reload.Snapshot) []verify.Entry {
	var out []verify.Entry
	for _, e := range snap.Entries {
		out = append(out, verify.Entry{Name: e.Name, Value: e.Value})
	}
	return out
}

func sinkNames(c *v1alpha1.Config) []string {
	var names []string
	for _, s := range c.Sinks {
		names = append(names, s.Name)
	}
	return names
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func (r *Receiver) newRouter(c *v1alpha1.Config) (*filter.Router, error) {
	var rules []filter.Rule
	for _, s := range c.Sinks {
		rules = append(rules, filter.Rule{Sink: s.Name, Hooks: s.Hooks, Types: s.Types, Filter: s.Filter})
	}
	var async []string
	for _, h := range c.Hooks {
		if h.Mode == api.HookAsync {
			async = append(async, h.Name)
		}
	}
	return filter.NewRouter(rules, async, r.metrics.SinkFilterFailed)
}
