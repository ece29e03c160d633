package server

import (
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/admin"
)

// Status returns what holds for the endpoint now.
func (r *Receiver) Status() statusz.Endpoint {
	stats := r.queue.Stats()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.state.snapshot.Config
	s := statusz.Endpoint{
		Namespace: c.Endpoint.Namespace, Name: c.Endpoint.Name, Path: c.Path, Suspend: string(c.Suspend),
		Config: statusz.Config{Generation: c.Endpoint.Generation, Provider: c.Provider.Name,
			ProfileRevision: c.Provider.Revision, LoadedAt: r.state.loadedAt.UTC(), Error: r.state.refused},
		Secret:  r.secretStatus(),
		Sources: r.sourceStatus(c),
		Queue: statusz.Queue{Type: r.o.QueueType, QueuedBytes: stats.QueuedBytes, CapacityBytes: stats.Capacity,
			DeadLetterBytes: stats.DeadLetterBytes, DeadLetterCapacityBytes: stats.DeadLetterCapacity,
			StoredEvents: stats.Events, StoredBytes: stats.Bytes, Alerts: admin.Alerts(stats), FreeBytes: stats.FreeBytes,
			Quarantined: stats.Quarantined, SyncedBeforeReply: true},
		Misrouted:  r.metrics.MisroutedSeen(),
		Responders: r.responderStatus(),
	}
	for _, cfg := range c.Sinks {
		s.Sinks = append(s.Sinks, r.sinks[cfg.Name].status(cfg.Name, stats.Sinks[cfg.Name], r.o.Now()))
	}
	s.NotReady = r.notReady()
	s.Ready = s.NotReady == ""
	return s
}

// notReady says why the receiver should get no requests, or "". A full queue or
// a dead sink is no reason: another receiver would fare no better, and 503 tells
// the provider to come again.
func (r *Receiver) notReady() string {
	if len(r.state.keys.Usable()) == 0 {
		return "no usable signing secret; see /statusz"
	}
	if err := r.Live(); err != nil {
		return err.Error()
	}
	return ""
}

func (r *Receiver) secretStatus() statusz.Secret {
	s := statusz.Secret{Missing: r.state.snapshot.Missing, Refused: r.metrics.UnverifiedSeen()}
	for _, name := range r.state.keys.Usable() {
		s.Entries = append(s.Entries, statusz.Entry{Name: name, Fingerprint: r.state.keys.Fingerprint(name),
			LastUsed: statusz.When(r.metrics.LastUsed(name))})
	}
	for _, p := range r.state.problems {
		if s.Problems == nil {
			s.Problems = map[string]string{}
		}
		s.Problems[p.Entry] = p.Text
	}
	return s
}

// ProcessStatus gathers the status of all endpoints that a process serves.
func ProcessStatus(version string, started time.Time, draining bool, receivers []*Receiver) statusz.Page {
	s := statusz.Page{Version: version, Started: started.UTC(), Draining: draining}
	for _, r := range receivers {
		s.Endpoints = append(s.Endpoints, r.Status())
	}
	return s
}
