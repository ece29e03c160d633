package endpoint

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// alarm calls for endpoints at moments to come: the boundaries of their ranges, and
// the ends of their certificates.
// The moments are found anew by the reconcile that follows a start, so they need
// not survive one. A requeue of the work queue would not do: it goes by the
// machine's clock, and a boundary must be reconciled by the clock that ranges are
// resolved by.
type alarm struct {
	clock clock.WithDelayedExecution
	ring  func(types.NamespacedName)

	mu  sync.Mutex
	set map[types.NamespacedName]setAlarm
}

type setAlarm struct {
	at    time.Time
	timer clock.Timer
}

// at sets the endpoint's alarm, in place of one that is set; the zero time clears
// it.
func (a *alarm) at(key types.NamespacedName, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, ok := a.set[key]
	if ok && was.at.Equal(at) {
		return
	}
	if ok {
		was.timer.Stop()
		delete(a.set, key)
	}
	if !at.IsZero() {
		a.set[key] = setAlarm{at, a.clock.AfterFunc(at.Sub(a.clock.Now()), func() { a.fire(key, at) })}
	}
}

func (a *alarm) fire(key types.NamespacedName, at time.Time) {
	a.mu.Lock()
	if a.set[key].at.Equal(at) {
		delete(a.set, key)
	}
	a.mu.Unlock()
	a.ring(key)
}
