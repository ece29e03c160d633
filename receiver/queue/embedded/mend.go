package embedded

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// checkLog looks for what Pebble would take for the end of the log. Where more
// follows, the log is written again without what cannot be read. changed means
// that the log is not what it was when it was closed. rewritten says whether it
// was written again.
func (q *Queue) checkLog(name string, changed bool, newest string) (rewritten bool, err error) {
	n, _ := numbered(name, "", logSuffix)
	number := uint32(n)
	data, err := q.readFile(name)
	if err != nil {
		return false, fmt.Errorf("reading the log %q: %w", name, err)
	}
	s := (&fragmentFile{data: data, number: number}).survey()
	if s.broken == 0 && !changed {
		return false, nil
	}
	log := q.opts.Logger.With("file", name, "at", s.end, "bytes", s.broken, "records_passed_over", s.lost, "records_mended", s.mended)
	q.torn.Add(int64(s.broken))
	if changed || s.proven || s.mended > 0 {
		q.unreadable.Add(max(int64(s.lost), 1))
		log.Error("The log is damaged: it held synced events that cannot be read any more. What can be read is served; of what is missing, " +
			"deliveries that are known of are counted as dropped. Check the disk")
	} else {
		log.Warn("The log ends in bytes that cannot be read, as it may after a power cut or when the process was killed. " +
			"If neither was, the disk is damaged, and events that were answered in the last moment may be lost: check it")
	}
	if s.later == 0 && s.mended == 0 && name == newest {
		return false, nil
	}
	return true, q.rewriteLog(name, number, data, s.records)
}

// rewriteLog replaces a log by one of the records that can be read, and keeps a
// copy.
func (q *Queue) rewriteLog(name string, number uint32, old []byte, records [][]byte) error {
	var data []byte
	for _, r := range records {
		data = appendRecord(data, r, number)
	}
	data = appendTrailer(data, number)
	q.rewrote = true
	err := q.replace(asidePrefix+name, old)
	if err == nil {
		err = q.replace(name, data)
	}
	if err != nil {
		return fmt.Errorf("writing the damaged log %q again: %w", name, err)
	}
	return nil
}

// mendLogs looks at the older logs, after Pebble has refused one, and reports
// whether any was written again.
func (q *Queue) mendLogs() (mended bool, err error) {
	d, err := listFiles(q.fs, q.opts.Dir)
	if err != nil {
		return false, err
	}
	for _, name := range d.names {
		if _, ok := numbered(name, "", logSuffix); ok && name != d.log {
			rewritten, err := q.checkLog(name, false, d.log)
			if err != nil {
				return mended, err
			}
			mended = mended || rewritten
		}
	}
	return mended, nil
}

// holdsEvents reports whether a record of the log is a batch that was synced: all
// those with events are.
func holdsEvents(record []byte) bool {
	if len(record) < batchrepr.HeaderLen {
		return false
	}
	for r := batchrepr.Read(record); ; {
		_, key, _, ok, err := r.Next()
		if !ok || err != nil {
			return false
		}
		if len(key) > 0 && (key[0] == kindEvent || key[0] == kindTotals) {
			return true
		}
	}
}

// recount reads the log, after records of it were lost: the ledgers may count
// deliveries that are gone, and not count some that a lost record had ended. The
// former are dropped, the latter come once more.
func (q *Queue) recount() error {
	if !q.rewrote {
		return nil
	}
	from, there := q.last+1, make(map[*sink]tally)
	for _, s := range q.byName {
		from = min(from, s.read)
	}
	err := q.records(from, q.last, func(seq uint64, raw []byte, err error) bool {
		h, headErr := parseHeader(raw)
		if err != nil || headErr != nil {
			return true // the sinks meet it too, and report it
		}
		for _, s := range q.byName {
			if t := there[s]; seq >= s.read && h.targets.has(s.ordinal) {
				t.add(int64(len(raw)))
				there[s] = t
			}
		}
		return true
	})
	for _, s := range q.byName {
		q.mendLedger(s, there[s])
	}
	return err
}

// mendLedger makes a sink's ledger agree with what is there to be read.
func (q *Queue) mendLedger(s *sink, there tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := s.fresh
	missing.minus(there)
	switch s.fresh = there; {
	case missing == tally{}:
		return
	case missing.n >= 0:
		s.ledger.dropped.plus(missing)
		q.opts.Logger.Error("Stored events are lost; they are dropped", "sink", s.name, "deliveries", missing.n)
	default:
		s.ledger.delivered.plus(missing)
		q.opts.Logger.Warn("Deliveries that had ended come again: the record of it is lost", "sink", s.name, "deliveries", -missing.n)
	}
	q.queued.Add(-missing.bytes)
	s.dirty = true
}

// mendLetters counts a sink's dead letters, after damage was found: some may be
// lost, and count as dropped.
func (q *Queue) mendLetters(s *sink) error {
	if !q.rewrote {
		return nil
	}
	var there tally
	err := q.scan(appendSinkKey(nil, kindDead, s.ordinal), func(_, value []byte) error {
		there.add(int64(len(value)))
		return nil
	})
	if err != nil || there == s.kept {
		return err
	}
	q.opts.Logger.Warn("Dead letters are lost", "sink", s.name, "counted", s.kept.n, "there", there.n)
	s.letters.dropped += max(s.kept.n-there.n, 0)
	s.kept = there
	return nil
}
