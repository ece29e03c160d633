package desired

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// volumeFactor is how much larger than the queue's capacity the part of a volume
	// is that holds events: besides the queued ones there are finished ones, and what
	// the engine has yet to compact.
	volumeFactor = 3
	// volumeFixed is what a volume holds however small the queue is: the engine's
	// logs and smallest tables, the ballast (16 MiB) and the free space (64 MiB) by
	// which a full disk is met, and dataMargin.
	volumeFixed = 256 << 20
	// dataMargin is what the receiver leaves free of its volume, beside the free space
	// that it keeps anyway: the kubelet evicts a pod whose emptyDir is larger than its
	// limit, and counts differently.
	dataMargin = 32 << 20
)

// volumeBytes is the size of a receiver's volume. That of a Persistent queue is
// for ever what it was made with: claims cannot change, whatever becomes of the
// endpoint or of the constants here.
func (b *builder) volumeBytes() int64 {
	if Persistent(b.ep) && b.in.VolumeBytes > 0 {
		return b.in.VolumeBytes
	}
	q := b.in.Config.Queue
	parts := []int64{volumeFixed, volumeFactor * min(q.CapacityBytes, math.MaxInt64/volumeFactor), q.DeadLetters.CapacityBytes}
	if q.Quarantine != nil {
		parts = append(parts, q.Quarantine.CapacityBytes)
	}
	return sum(parts)
}

// dataBytes is how much of its volume a receiver may use.
func (b *builder) dataBytes() int64 { return max(1, b.volumeBytes()-dataMargin) }

// sum adds sizes, and stops at the largest number.
func sum(sizes []int64) int64 {
	var all int64
	for _, n := range sizes {
		all += min(max(0, n), math.MaxInt64-all)
	}
	return all
}

// quantity writes a size as the API server does.
func quantity(bytes int64) resource.Quantity {
	return canonical(*resource.NewQuantity(bytes, resource.BinarySI))
}
