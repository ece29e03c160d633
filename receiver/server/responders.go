package server

import (
	"crypto/sha256"
	"fmt"

	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/reload"
	"github.com/fairlead-dev/fairlead/receiver/respond"
)

// responders is what a configuration makes of responders. It does not change once
// it is in use.
type responders struct {
	set *respond.Set
	all []runningResponder // in the configuration's order
}

// runningResponder is a responder and what it was made of.
type runningResponder struct {
	*respond.Responder
	hook, name string
	digest     [sha256.Size]byte
}

// newResponders makes the responders of a snapshot. Those of which nothing has
// changed but the filter are the ones from before, with their connections and their
// circuit breaker. A filter that does not compile is an error.
func (r *Receiver) newResponders(snap *reload.Snapshot, before *responders) (*responders, error) {
	out := &responders{set: &respond.Set{}}
	for i := range snap.Config.Responders {
		cfg := &snap.Config.Responders[i]
		digest, err := responderDigest(*cfg, snap)
		if err != nil {
			return nil, err
		}
		r.metrics.Answers(cfg.Hook, cfg.Name)
		one := runningResponder{hook: cfg.Hook, name: cfg.Name, digest: digest}
		if old := before.find(cfg.Hook, cfg.Name); old != nil && old.digest == digest {
			one.Responder = old.Responder
		} else {
			one.Responder = r.newResponder(cfg, snap, old)
		}
		if err := out.set.Add(one.Responder, cfg.Filter); err != nil {
			return nil, fmt.Errorf("preparing responders: %w", err)
		}
		out.all = append(out.all, one)
	}
	return out, nil
}

func (r *Receiver) newResponder(cfg *v1alpha1.Responder, snap *reload.Snapshot, old *runningResponder) *respond.Responder {
	o := respond.Options{Sink: r.sinkOptions(snap), Observer: r.metrics, Logger: r.o.Logger, Now: r.o.Now}
	if old != nil {
		o.Before = old.Responder
	}
	made := respond.New(cfg, o)
	if s := made.Status(); s.State == statusz.SinkPending {
		r.o.Logger.Warn("A responder is pending; its hook is answered as onFailure says", "hook", cfg.Hook, "responder", cfg.Name, "reason", s.Reason)
	}
	return made
}

// responderDigest covers everything that a responder is made of.
func responderDigest(cfg v1alpha1.Responder, snap *reload.Snapshot) ([sha256.Size]byte, error) {
	cfg.Filter = ""
	digest, err := digestOf(cfg, cfg.HTTP, snap)
	if err != nil {
		return digest, fmt.Errorf("comparing responder %q: %w", cfg.Name, err)
	}
	return digest, nil
}

func (rs *responders) find(hook, name string) *runningResponder {
	if rs == nil {
		return nil
	}
	for i := range rs.all {
		if one := &rs.all[i]; one.hook == hook && one.name == name {
			return one
		}
	}
	return nil
}

// closeBut lets go of the connections of those that another one does not use.
func (rs *responders) closeBut(other *responders) {
	if rs == nil {
		return
	}
	for i := range rs.all {
		old := &rs.all[i]
		if now := other.find(old.hook, old.name); now == nil || now.Responder != old.Responder {
			old.Close()
		}
	}
}

// responderStatus lists what holds for the responders now.
func (r *Receiver) responderStatus() []statusz.Responder {
	var out []statusz.Responder
	if rs := r.responders.Load(); rs != nil {
		for i := range rs.all {
			out = append(out, rs.all[i].Status())
		}
	}
	return out
}
