package embedded

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Pebble's logs and its manifest are files of records. A record is one fragment
// or several, and no fragment crosses a block. Pebble stops reading at the first
// fragment that is not valid, and cannot tell in the last block whether a power
// cut or damage made it so: what stands behind it would be lost in silence. So
// this file reads the same format, goes on behind such a place, and says what it
// found.
const (
	fragmentBlock = 32 << 10
	// A header is the checksum 4, the length 2 and the type 1; in a log the log's
	// number 4 follows, and in newer ones up to where the log was synced when the
	// fragment was written 8.
	manifestHeader = 7
	recycledHeader = manifestHeader + 4
	syncedHeader   = recycledHeader + 8
	// Types come in three formats of four places each.
	placeFull   = 0
	placeFirst  = 1
	placeMiddle = 2
	placeLast   = 3
	// recycledType is the first type of a log's fragment, endType the last of all.
	recycledType, syncedType, endType = 5, 9, 13
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of a fragment, from its type on.
func checksum(b []byte) uint32 { return cook(crc32.Checksum(b, castagnoli)) }

func cook(c uint32) uint32 { return (c>>15 | c<<17) + 0xa282ead8 }

// fragmentFile is a file of records. A manifest has no number.
type fragmentFile struct {
	data     []byte
	number   uint32
	manifest bool
}

// fragment is a valid one.
type fragment struct {
	at, end int // with its header
	place   int
	synced  uint64
	payload []byte
}

// survey is what a file of records holds.
type survey struct {
	records [][]byte // complete ones, those behind a break included
	// end is where the records before the break end.
	end int
	// broken is how many bytes from there on cannot be read; 0 means that the file
	// ends as it should.
	broken int
	// later is how many of records stand behind the break.
	later int
	// lost is how many fragments were passed over, and mended how many were valid but
	// for one field of their header.
	lost, mended int
	// proven means that what cannot be read had been synced, so that no power cut
	// explains it.
	proven bool
}

// survey reads the whole file.
func (f *fragmentFile) survey() survey {
	var s survey
	var a assembly
	off, broke, mark := 0, -1, 0
	breakAt := func(off int) {
		if broke < 0 {
			broke, mark = off, len(s.records)
		}
	}
	for {
		next := f.skipPadding(off)
		if next < len(f.data) && !allZero(f.data[off:next]) && f.valid(next) {
			breakAt(off)
			s.mended++
		}
		if off = next; off >= len(f.data) {
			break
		}
		fr, ok := f.at(off)
		if !ok {
			if broke < 0 && f.ends(off) {
				break
			}
			breakAt(off)
			if fr, ok = f.mend(off); !ok {
				s.lost++
				a.drop()
				off = f.resume(off)
				continue
			}
			s.mended++
		}
		s.proven = s.proven || broke >= 0 && fr.synced > uint64(broke)
		if r := a.add(fr); r != nil {
			s.records = append(s.records, r)
			if broke < 0 {
				s.end = fr.end
			}
		}
		off = fr.end
	}
	switch {
	case broke >= 0:
		f.judge(&s, broke, mark)
	case a.open:
		s.broken = min(off, len(f.data)) - s.end
	}
	return s
}

// judge says how much of the file behind a break is of use, and whether the
// break was synced: it was if two more records follow of which the first was
// synced, because the next one is only written then; in a manifest, if any does.
func (f *fragmentFile) judge(s *survey, broke, mark int) {
	later := s.records[mark:]
	s.later = len(later)
	s.broken = f.extent(broke) - s.end
	if len(later) > 0 || s.mended > 0 {
		s.broken = max(s.broken, 1)
	}
	if s.broken < 0 {
		s.broken = 0
	}
	s.proven = s.proven || f.manifest && len(later) > 0
	for i := range later[:max(len(later)-1, 0)] {
		s.proven = s.proven || holdsEvents(later[i])
	}
}

// assembly puts records together.
type assembly struct {
	open bool
	buf  []byte
}

func (a *assembly) drop() { a.open, a.buf = false, nil }

// add returns the record that is complete with a fragment, or nil.
func (a *assembly) add(fr fragment) []byte {
	switch fr.place {
	case placeFull:
		a.drop()
		return append([]byte{}, fr.payload...)
	case placeFirst:
		a.open, a.buf = true, slices.Clone(fr.payload)
	case placeMiddle, placeLast:
		if a.open {
			a.buf = append(a.buf, fr.payload...)
		}
	}
	if fr.place != placeLast || !a.open {
		return nil
	}
	r := a.buf
	a.drop()
	return r
}

// skipPadding goes to the next block where a block has no room for a header.
func (f *fragmentFile) skipPadding(off int) int {
	need := syncedHeader
	if f.manifest {
		need = manifestHeader
	}
	left := fragmentBlock - off%fragmentBlock
	if left >= need || f.isShort(off, left) {
		return off
	}
	return off + left
}

// isShort reports whether a fragment with a short header, or the mark that ends a
// log, stands where there is no room for a long header. The first log of a
// directory has short ones: Pebble begins it before it raises the format.
func (f *fragmentFile) isShort(off, left int) bool {
	return !f.manifest && left >= recycledHeader && off < len(f.data) && (f.valid(off) || f.trailer(f.room(off)))
}

// header returns the length of a header by the fragment's type; 0 if the file
// has no such type.
func (f *fragmentFile) header(kind byte) int {
	switch {
	case f.manifest && kind >= 1 && kind < recycledType:
		return manifestHeader
	case f.manifest || kind < recycledType || kind >= endType:
		return 0
	case kind >= syncedType:
		return syncedHeader
	}
	return recycledHeader
}

// room returns what is left of the block, or of the file, from off on.
func (f *fragmentFile) room(off int) []byte {
	return f.data[off:min(off+fragmentBlock-off%fragmentBlock, len(f.data))]
}

// at returns the fragment at off, if it is valid.
func (f *fragmentFile) at(off int) (fragment, bool) {
	b := f.room(off)
	if len(b) < manifestHeader {
		return fragment{}, false
	}
	header := f.header(b[6])
	end := header + int(binary.LittleEndian.Uint16(b[4:]))
	if header == 0 || end > len(b) || !f.manifest && binary.LittleEndian.Uint32(b[7:]) != f.number ||
		binary.LittleEndian.Uint32(b) != checksum(b[6:end]) {
		return fragment{}, false
	}
	return newFragment(off, b[:end], header), true
}

func newFragment(off int, b []byte, header int) fragment {
	fr := fragment{at: off, end: off + len(b), place: int(b[6]-1) % 4, payload: b[header:]}
	if header == syncedHeader {
		fr.synced = binary.LittleEndian.Uint64(b[recycledHeader:])
	}
	return fr
}

// ends reports whether a file may well end at off, where no valid fragment is:
// with the mark that says so, with zeros, or with what another log left in the
// same file, and with no block behind it that is this file's.
func (f *fragmentFile) ends(off int) bool {
	b := f.room(off)
	if !f.manifest && f.trailer(b) {
		return true
	}
	for next := off + len(b); next < len(f.data); next += fragmentBlock {
		if f.valid(next) {
			return false
		}
	}
	if f.manifest || allZero(b) {
		return allZero(b)
	}
	_, mended := f.mend(off)
	return !mended && !f.ours(b)
}

func (f *fragmentFile) valid(off int) bool {
	_, ok := f.at(off)
	return ok
}

// trailer reports whether b begins with the mark that ends a log.
func (f *fragmentFile) trailer(b []byte) bool {
	return len(b) >= recycledHeader && allZero(b[:6]) && b[6] == recycledType && binary.LittleEndian.Uint32(b[7:]) == f.number+1
}

// ours reports whether b begins with the header of a fragment of this file.
func (f *fragmentFile) ours(b []byte) bool {
	if f.manifest {
		return true
	}
	return len(b) >= recycledHeader && f.header(b[6]) != 0 && binary.LittleEndian.Uint32(b[7:]) == f.number
}

// mend returns the fragment at off if it is valid but for its length, its type
// or its log's number.
func (f *fragmentFile) mend(off int) (fragment, bool) {
	b := f.room(off)
	if f.manifest || len(b) < syncedHeader {
		return fragment{}, false
	}
	want := binary.LittleEndian.Uint32(b)
	if end := syncedHeader + int(binary.LittleEndian.Uint16(b[4:])); end <= len(b) {
		for kind := byte(syncedType); kind < endType; kind++ {
			c := slices.Clone(b[:end])
			c[6] = kind
			binary.LittleEndian.PutUint32(c[7:], f.number)
			if checksum(c[6:]) == want {
				return newFragment(off, c, syncedHeader), true
			}
		}
	}
	if !f.ours(b) || f.header(b[6]) != syncedHeader {
		return fragment{}, false
	}
	crc := crc32.Checksum(b[6:syncedHeader], castagnoli)
	for end := syncedHeader; ; end++ {
		if cook(crc) == want {
			return newFragment(off, b[:end], syncedHeader), true
		}
		if end == len(b) {
			return fragment{}, false
		}
		crc = crc32.Update(crc, castagnoli, b[end:end+1])
	}
}

// extent is where the broken fragment at off seems to end.
func (f *fragmentFile) extent(off int) int {
	b := f.room(off)
	if f.manifest {
		return len(f.data)
	}
	if len(b) >= manifestHeader && f.header(b[6]) != 0 {
		if end := f.header(b[6]) + int(binary.LittleEndian.Uint16(b[4:])); end <= len(b) {
			return off + end
		}
	}
	return off + len(b)
}

// resume is where to look for the next fragment behind a broken one: where its
// length says, if a valid one is there, or else at the next block. Nowhere else: a
// body might be made to look like a fragment.
func (f *fragmentFile) resume(off int) int {
	b := f.room(off)
	next := off + fragmentBlock - off%fragmentBlock
	if len(b) < manifestHeader {
		return next
	}
	header := f.header(b[6])
	end := header + int(binary.LittleEndian.Uint16(b[4:]))
	if header == 0 || end >= len(b) {
		return next
	}
	if f.valid(off+end) || f.skipPadding(off+end) != off+end {
		return off + end
	}
	return next
}

// appendRecord appends a record in the format of a log to a file of which b is
// all that was written.
func appendRecord(b, record []byte, number uint32) []byte {
	for first := true; first || len(record) > 0; first = false {
		room := fragmentBlock - len(b)%fragmentBlock
		if room < syncedHeader {
			b = append(b, make([]byte, room)...)
			room = fragmentBlock
		}
		n := min(len(record), room-recycledHeader)
		place := placeMiddle
		switch last := n == len(record); {
		case first && last:
			place = placeFull
		case first:
			place = placeFirst
		case last:
			place = placeLast
		}
		at := len(b)
		b = append(b, 0, 0, 0, 0, byte(n), byte(n>>8), byte(recycledType+place))
		b = append(binary.LittleEndian.AppendUint32(b, number), record[:n]...)
		binary.LittleEndian.PutUint32(b[at:], checksum(b[at+6:]))
		record = record[n:]
	}
	return b
}

// appendTrailer appends the mark that ends a log.
func appendTrailer(b []byte, number uint32) []byte {
	if room := fragmentBlock - len(b)%fragmentBlock; room < syncedHeader {
		b = append(b, make([]byte, room)...)
	}
	return binary.LittleEndian.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, recycledType), number+1)
}

func allZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }
