package load

import (
	"math/bits"
	"time"
)

// subBits says how finely each power of two is divided: 2^subBits ways, so a
// quantile is off by less than one percent.
const subBits = 7

// A Histogram counts durations from 1 µs to more than an hour. Its zero value is
// empty and ready. One goroutine may use it at a time.
type Histogram struct {
	counts [(35 - subBits) << subBits]uint64
	total  uint64
}

// Add counts d once.
func (h *Histogram) Add(d time.Duration) {
	h.counts[min(slot(uint64(max(d.Microseconds(), 0))), len(h.counts)-1)]++
	h.total++
}

// Merge adds what another histogram counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// Quantile returns the duration that the fraction q of all counted ones does not
// exceed; 0 if nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return time.Duration(low(i)) * time.Microsecond
		}
	}
	return 0
}

// slot returns where v is counted: values below 2^subBits each for themselves,
// then every power of two in equal parts.
func slot(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// low returns the least value of a slot.
func low(slot int) uint64 {
	shift := max(slot>>subBits-1, 0)
	return uint64(slot-shift<<subBits) << shift
}
