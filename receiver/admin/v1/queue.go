package v1

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

// StateRemoved is the state of a sink that is no longer listed.
const StateRemoved = "removed"

// queue answers GET /v1/queue.
func (c *call) queue() (any, error) {
	stats, status := c.ep.Store.Stats(), c.ep.Status()
	out := Queue{
		Namespace: c.ep.Namespace, Name: c.ep.Name, Type: status.Queue.Type,
		QueuedBytes: stats.QueuedBytes, CapacityBytes: stats.Capacity,
		DeadLetterBytes: stats.DeadLetterBytes, DeadLetterCapacityBytes: stats.DeadLetterCapacity,
		StoredEvents: stats.Events, StoredBytes: stats.Bytes,
		Quarantined: stats.Quarantined, QuarantinedBytes: stats.QuarantinedBytes,
		FreeBytes: stats.FreeBytes, Unreadable: stats.Unreadable,
		Alerts: append([]string{}, status.Queue.Alerts...), Sinks: []Sink{},
	}
	states := map[string]statusz.Sink{}
	for _, s := range status.Sinks {
		states[s.Name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(stats.Sinks)) {
		out.Sinks = append(out.Sinks, sinkOf(name, stats.Sinks[name], states[name]))
	}
	return out, nil
}

func sinkOf(name string, k queue.SinkStats, s statusz.Sink) Sink {
	out := Sink{
		Name: name, Accepted: k.Accepted, Delivered: k.Delivered, Dead: k.Dead, Dropped: k.Dropped, HandedOver: k.HandedOver, Queued: k.Queued,
		Replayed: k.Replayed, Received: k.Received, QueuedBytes: k.QueuedBytes, Retrying: k.Retrying, OldestQueued: statusz.When(k.OldestQueued),
		State: cmp.Or(s.State, StateRemoved), Reason: s.Reason, Breaker: s.Breaker, BreakerUntil: s.BreakerUntil, LastSuccess: s.LastSuccess,
		DeadLetters: k.DeadLetters, DeadLetterBytes: k.DeadLetterBytes, DeadLettersDropped: k.DeadLettersDropped,
		DeadLettersReplayed: k.DeadLettersReplayed, DeadLettersHandedOver: k.DeadLettersHandedOver,
	}
	if k.Removed {
		out.State = StateRemoved
	}
	return out
}
