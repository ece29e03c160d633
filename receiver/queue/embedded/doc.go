// Package embedded keeps a queue on a local disk, in Pebble.
//
// # One writer
//
// Everything is written by one goroutine, the committer (commit.go). Append lays
// its record out in the batch that is gathering, under a lock, in the goroutine
// that brings the event, and waits. The committer takes that batch, adds what
// follows from it, commits it with a sync, and wakes all who wait by closing one
// channel. While it syncs, the next batch gathers; nothing ever waits to make a
// batch larger. Acks, nacks and dead letters change memory at once and are written
// by the next turn of the committer: with the next events, or after the flush
// interval without a sync. Because a turn writes what the consumers did and the
// state that results from it in one batch, what is on disk is always a state that
// once was in memory.
//
// Pebble shows a batch to readers before it is synced. So nothing is leased
// behind the synced sequence, and the key of an event that is being appended is
// held (dedup.go) until the sync: a second Append of it waits, and then looks for
// itself.
//
// # Key space
//
//	v                      format version; a newer one is refused
//	t                      totals: the last sequence
//	b, a                   the buckets of dedup keys, and of transfers: number, when each began
//	s<name>                a sink's ordinal, for ever; records name sinks by ordinal
//	c<ordinal 4>           a sink's state: ledger, position, holes
//	r<ordinal 4><seq 8>    a delivery that has failed: attempts, when it is due, why
//	x<ordinal 4><seq 8>    a dead letter, with a copy of the event's record
//	k<first seq 8>         a chunk: a run of sequences that is trimmed as one
//	d<bucket 4><key 17>    what an event is recognised by: time, digest of the body
//	h<bucket 4><key 17>    what a transfer of another queue is recognised by: the same
//	q<seq 8>               a request that failed verification; q alone is the last of those
//	e<seq 8>               an event's record
//
// Numbers are big-endian, so keys sort as the numbers do. A table never holds
// events and other keys, nor events of two windows of sequences (spanPolicy), so
// tables of events never overlap, and no compaction has reason to rewrite them:
// an event is written once to the log and once to a table. When enough was
// trimmed, its tables are compacted on request (reclaim.go), which frees the space
// and keeps what is left.
//
// # Positions instead of states
//
// No delivery has a record of its own until it fails. A sink's state is a position
// and the few holes before it: all deliveries before the position are finished,
// but for the holes (leased when the state was written) and those with a retry
// record. So an ack costs no key, and a poison event holds up nothing: its nack
// gives it a retry record, and the position moves on. Retries are held in memory,
// in a heap by due time; there are at most Options.MaxRetries per sink. A sink
// that has so many gets no new deliveries until some finish. A sink that gets
// events in order (lanes.go) parks what must wait for an earlier event of its
// subject among the retries.
//
// Where the oldest deliveries of a sink are dropped to make room (shed.go), the
// goroutine that brings an event does that, in memory; the committer writes it with
// the state of the sink.
//
// What is queued is known by counting: accepted less delivered, dead, dropped and
// handed over. All of these are written in the same batch as what changes them, so
// they are exact after a crash, and Open reads no events.
//
// # Giving back space
//
// Events are deleted by chunk, with one range deletion around what is not
// finished (trim.go). What was left is kept in the chunk's record, and is deleted
// one by one as it finishes. Readers always seek to a position that is theirs, so
// they never walk over what was deleted.
//
// # Recognising events
//
// Dedup keys are written in numbered buckets (bucket.go), each deleted whole when
// the next one has lasted for the window. A bucket ends when it is half a window
// old or holds enough keys: keys come in random order, and a compaction merges
// them into what is there, so what is there must not grow for ever. A Bloom filter
// per bucket, in memory, knows of nearly all new events that they are new, so
// that Append reads nothing. After a restart the filters are learnt again in the
// background; until then Append looks events up on disk. The value holds the time
// and the body's digest, which makes the window exact, and tells a repetition from
// another event with the same id.
//
// # What people and other queues do
//
// Replays, hand-over and the dropping of dead letters are controls (commit.go): the
// committer does them between two groups. It looks first whether one can be done,
// and writes nothing if not; what one writes is in the same batch as what follows
// from it. A replay of a dead letter deletes that in the batch in which the copy of
// its event is stored. What is received from another queue is recognised like an
// event, in buckets of its own, because it is known for longer. Dead letters that are
// received have a sequence without an event.
//
// Quarantine (quarantine.go) is written without a sync: nobody was told that it is
// kept. Its bounds hold in memory, where the size and age of each request are known.
//
// # Damage
//
// Before Pebble opens the directory, damage.go looks at its files for what Pebble
// would pass over in silence: behind the first record of the newest log, or of the
// list of tables, that cannot be read, Pebble takes the file to have ended. So the
// log is read here first, beyond such a place. What a power cut may have left is
// reported and counted in Stats.TornLogBytes. If more follows, the log is written
// again without what cannot be read, the old one is kept as damaged-NAME, and the
// ledgers are brought in line with what is there: what is missing is dropped, what
// had ended by a lost record comes again. Two small files tell damage from a power
// cut: fairlead.clean has the checksums of the log and the lists as they were when
// the queue was closed, and fairlead.tide says how long the list of tables is at
// least. A list of tables that is damaged cannot be mended: Open refuses, with
// ErrDamaged, and says what to do. So it does when what it must read of a table
// cannot be read. A file of options is not needed, and is put aside.
//
// A delivery whose event cannot be read becomes a dead letter, with the bytes that
// are there. If a record is so damaged that not even its sinks can be read, nobody
// knows whose it was; but each sink's count says, when it has read all, how many
// it misses, and those are counted as dropped. An event whose dedup key cannot be
// read is taken for new. All of this is logged, and counted in Stats.Unreadable. A
// commit that fails is final: Options.Fatal is called, and nothing is stored
// afterwards, because nobody can know what of it is on disk.
//
// # A full disk
//
// A log that cannot be written ends the process, so disk.go sees to it that Append
// refuses before that: below Options.MinFree of free space, or of what
// Options.MaxBytes leaves. A goroutine looks at the disk each second, and sooner
// when much was appended; in between, Append counts down three bytes for each that
// it takes. While space is short, finished events are evicted, oldest first, as
// many as are missing. If it becomes very short, because others write too, the
// ballast is given up, so that Pebble can write what it must to deliver what is
// there; it is made again when there is room. Giving space back takes space itself:
// so a window of sequences ends when it holds 4 MiB, and what is left of that is
// the most that a compaction writes again for it.
package embedded
