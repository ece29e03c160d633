package probe

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/api/statusz"
)

// unlistedPrecision is how precisely the time of the last unlisted sender matters.
const unlistedPrecision = 10 * time.Minute

// digest stands for what matters of a report. Reports of equal digest would lead
// to the same conditions.
type digest [sha256.Size]byte

func digestOf(r Report) digest {
	var m struct {
		Err       string
		Page      *statusz.Endpoint
		TLS       *statusz.TLS
		NotBefore int64
		NotAfter  int64
		Unlisted  int64
	}
	if r.TLS != nil {
		m.TLS = &statusz.TLS{Names: r.TLS.Names, Error: r.TLS.Error}
		m.TLS.NotBefore, m.NotBefore = numbered(r.TLS.NotBefore)
		m.TLS.NotAfter, m.NotAfter = numbered(r.TLS.NotAfter)
	}
	if r.Err != nil {
		m.Err = r.Err.Error()
	}
	if r.Page != nil {
		if at := r.Page.Sources.LastUnlistedValid; at != nil {
			m.Unlisted = at.Unix() / int64(unlistedPrecision/time.Second)
		}
		m.Page = steady(r.Page)
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("a page of strings and numbers has no JSON: %v", err))
	}
	return sha256.Sum256(data)
}

// steady returns the page without what changes all the time: of times only
// whether there is one, and of counters nothing.
func steady(page *statusz.Endpoint) *statusz.Endpoint {
	e := *page
	e.Config.LoadedAt = time.Time{}
	e.Sources.LastUnlistedValid = present(e.Sources.LastUnlistedValid)
	e.Sources.Verified, e.Sources.Unknown, e.Sources.Unlisted = 0, min(e.Sources.Unknown, 1), min(e.Sources.Unlisted, 1)
	if f := e.Sources.Finding; f == statusz.SourcePreserved || f == statusz.SourceNoTraffic {
		e.Sources.Addresses = nil // the provider's, each time some others
	}
	e.Queue.QueuedBytes, e.Queue.DeadLetterBytes = 0, 0
	e.Queue.StoredEvents, e.Queue.StoredBytes, e.Queue.FreeBytes, e.Queue.Quarantined = 0, 0, 0, 0
	if n := e.Secret.Refused; n != nil {
		e.Secret.Refused = &statusz.Refused{Unsigned: min(n.Unsigned, 1), Wrong: min(n.Wrong, 1), Late: min(n.Late, 1)}
	}
	e.Secret.Entries = slices.Clone(e.Secret.Entries)
	for i := range e.Secret.Entries {
		e.Secret.Entries[i].LastUsed = present(e.Secret.Entries[i].LastUsed)
	}
	e.Sinks = slices.Clone(e.Sinks)
	for i, s := range e.Sinks {
		e.Sinks[i] = statusz.Sink{Name: s.Name, State: s.State, Reason: s.Reason}
	}
	e.Responders = slices.Clone(e.Responders)
	for i, r := range e.Responders {
		e.Responders[i] = statusz.Responder{Name: r.Name, Hook: r.Hook, State: r.State, Reason: r.Reason}
	}
	e.Misrouted = slices.Clone(e.Misrouted)
	for i, w := range e.Misrouted {
		e.Misrouted[i] = statusz.Misrouted{Hook: w.Hook, Shape: w.Shape}
	}
	return &e
}

// numbered returns a time as a number, beside whether there is one: not every year
// can be written as JSON.
func numbered(t *time.Time) (*time.Time, int64) {
	if t == nil {
		return nil, 0
	}
	return present(t), t.Unix()
}

// present returns the same time for every time.
func present(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &time.Time{}
}
