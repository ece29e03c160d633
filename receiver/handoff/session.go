package handoff

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

const (
	maxSessions = 8
	// idleSession is how long a session may be without a batch, and longSession how
	// old it may be.
	idleSession = 2 * time.Minute
	longSession = 15 * time.Minute
	// tolerance is how far two sisters' clocks may be apart.
	tolerance = 5 * time.Minute
	// maxNonces bounds the nonces that are remembered. Only proven ones are, so that
	// many of them means that a sister is beside itself.
	maxNonces = 1024
)

// session is one sender's, at the sister.
type session struct {
	id      [sessionSize]byte
	keys    sessionKeys
	begun   time.Time
	touched time.Time // guarded by the sessions' mu

	// mu is held while a batch is handled: one at a time.
	mu   sync.Mutex
	last uint64 // the number of the last batch that was stored
	sum  [sha256.Size]byte
	what receipt // its answer
	over bool
}

// sessions are those of one receiver, and the nonces that it has seen.
type sessions struct {
	now func() time.Time

	mu     sync.Mutex
	all    map[[sessionSize]byte]*session
	nonces map[[nonceSize]byte]time.Time // until when it is remembered
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sessionSize]byte]*session{}, nonces: map[[nonceSize]byte]time.Time{}}
}

// fresh remembers a nonce, and reports why it may not be used.
func (s *sessions) fresh(nonce []byte) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.nonces, func(_ [nonceSize]byte, until time.Time) bool { return now.After(until) })
	n := [nonceSize]byte(nonce)
	if _, seen := s.nonces[n]; seen {
		return Repeated
	}
	if len(s.nonces) >= maxNonces {
		return Busy
	}
	// Its time may be ahead of ours by the tolerance, and count that long again.
	s.nonces[n] = now.Add(2 * tolerance)
	return ""
}

// open starts a session; nil if there are too many.
func (s *sessions) open(k, senderNonce, ownNonce []byte) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.all, func(_ [sessionSize]byte, one *session) bool { return one.expired(now) })
	if len(s.all) >= maxSessions {
		return nil, nil
	}
	one := &session{begun: now, touched: now}
	_, _ = rand.Read(one.id[:]) // never fails
	var err error
	if one.keys, err = newSessionKeys(k, senderNonce, ownNonce, one.id[:]); err != nil {
		return nil, err
	}
	s.all[one.id] = one
	return one, nil
}

// find returns a session and counts as use of it; nil if there is none.
func (s *sessions) find(id []byte) *session {
	if len(id) != sessionSize {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one, now := s.all[[sessionSize]byte(id)], s.now()
	if one == nil || one.expired(now) {
		return nil
	}
	return one
}

// touch starts the idle time of a session anew.
func (s *sessions) touch(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.touched = s.now()
}

func (s *sessions) end(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, one.id)
}

// expired is asked with the sessions' mu held.
func (s *session) expired(now time.Time) bool {
	return now.Sub(s.touched) > idleSession || now.Sub(s.begun) > longSession
}

// proven reports whether a batch's headers come from the session's sender.
func (s *session) proven(h *batchHead) bool {
	return hmac.Equal(h.proof, s.keys.batchProof(s.id[:], h.number, h.digest))
}
