package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fairlead-dev/fairlead/receiver/event"
	"github.com/fairlead-dev/fairlead/receiver/queue"
)

const (
	digestLen     = 16
	dedupHashLen  = 1 + digestLen
	dedupValueLen = 8 + digestLen
	suffixLen     = 8 // bytes of the digest, in hex
	// maxSuffixes bounds the ids that are tried for one event. More than one is
	// needed only if somebody uses ids that look like ours.
	maxSuffixes = 4
)

// dedupHash is what an event is looked up by: a letter for the kind of key, and
// the beginning of a SHA-256.
type dedupHash [dedupHashLen]byte

// identity is what an event is recognised by.
type identity struct {
	hash   dedupHash
	digest [digestLen]byte // of the body
	byID   bool
	window time.Duration
	at     int64
}

func identify(e *event.Event, d queue.Dedup) identity {
	id := identity{byID: d.Key == queue.ByID, window: d.Window}
	sum := sha256.Sum256(e.Body)
	copy(id.digest[:], sum[:])
	if id.byID {
		id.hash = hashID(e.ID)
	} else {
		id.hash[0] = 'b'
		copy(id.hash[1:], sum[:])
	}
	return id
}

func hashID(s string) dedupHash {
	var buf [event.MaxID + maxSuffixes*(1+2*suffixLen)]byte
	sum := sha256.Sum256(append(buf[:0], s...))
	var h dedupHash
	h[0] = 'i'
	copy(h[1:], sum[:])
	return h
}

// recognise finds out whether the event is known, and under which id it is to be
// stored if not. The caller holds the key.
func (q *Queue) recognise(r *record, id *identity) (queue.Outcome, error) {
	id.at = q.now()
	outcome := queue.Stored
	for range maxSuffixes {
		digest, known, err := q.lookup(&q.memory, id)
		switch {
		case err != nil:
			return 0, fmt.Errorf("looking up whether the event is known: %w", err)
		case !known:
			return outcome, nil
		case digest == id.digest:
			// After a failure, what is read here may never have been synced.
			return queue.Duplicate, q.failed()
		}
		outcome = queue.StoredSuffixed
		r.id += "~" + hex.EncodeToString(id.digest[:suffixLen])
		id.hash = hashID(r.id)
	}
	return outcome, nil
}

// lookup returns the digest of the body that came with the key within the window.
func (q *Queue) lookup(m *memory, id *identity) (digest [digestLen]byte, known bool, err error) {
	var buf [32]uint32
	q.mu.Lock()
	candidates := m.candidates(buf[:0], id.hash)
	q.mu.Unlock()
	for _, bucket := range candidates {
		err = q.read(func() (err error) {
			digest, known, err = q.lookupIn(m.entries, bucket, id)
			return err
		})
		if known || err != nil {
			break
		}
	}
	return digest, known, err
}

func (q *Queue) lookupIn(kind byte, bucket uint32, id *identity) (digest [digestLen]byte, known bool, err error) {
	var buf [dedupKeyLen]byte
	v, closer, err := q.db.Get(appendDedupKey(buf[:0], kind, bucket, id.hash))
	if errors.Is(err, pebble.ErrNotFound) {
		return digest, false, nil
	}
	if pebble.IsCorruptionError(err) { // rather once too often than not at all
		q.unreadable.Add(1)
		return digest, false, nil
	}
	if err != nil {
		return digest, false, err
	}
	if len(v) == dedupValueLen && id.at-int64(binary.BigEndian.Uint64(v)) < int64(id.window) {
		known = true
		copy(digest[:], v[8:])
	}
	return digest, known, closer.Close()
}

// inflight holds the keys of the events that are being appended.
type inflight struct {
	shards [32]inflightShard
}

type inflightShard struct {
	mu sync.Mutex
	// keys maps to a channel that leave closes; nil while nobody waits.
	keys map[dedupHash]chan struct{}
}

func (f *inflight) init() {
	for i := range f.shards {
		f.shards[i].keys = make(map[dedupHash]chan struct{})
	}
}

func (f *inflight) shard(h dedupHash) *inflightShard {
	return &f.shards[h[1]%byte(len(f.shards))]
}

// enter waits until nobody holds the key, and takes it.
func (f *inflight) enter(ctx context.Context, h dedupHash) error {
	s := f.shard(h)
	for {
		wait := s.take(h)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the same event: %w", context.Cause(ctx))
		}
	}
}

// take takes the key, or returns what to wait for.
func (s *inflightShard) take(h dedupHash) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait, held := s.keys[h]
	if !held {
		s.keys[h] = nil
		return nil
	}
	if wait == nil {
		wait = make(chan struct{})
		s.keys[h] = wait
	}
	return wait
}

// leave gives the key free. Whoever waits for it looks for itself what became of
// the event.
func (f *inflight) leave(h dedupHash) {
	s := f.shard(h)
	s.mu.Lock()
	wait := s.keys[h]
	delete(s.keys, h)
	s.mu.Unlock()
	if wait != nil {
		close(wait)
	}
}
