package embedded

import "encoding/binary"

// The key space; doc.go says why it is as it is. The first byte is the kind of
// record.
const (
	kindReceivedMemory = 'a' // a                       -> memory: the buckets of identities of transfers
	kindMemory         = 'b' // b                       -> memory: the buckets of dedup keys
	kindSinkState      = 'c' // c<ordinal 4>            -> sinkState
	kindDedup          = 'd' // d<bucket 4><key 17>     -> dedupEntry
	kindEvent          = 'e' // e<sequence 8>           -> record
	kindReceived       = 'h' // h<bucket 4><key 17>     -> dedupEntry, of a transfer
	kindChunk          = 'k' // k<first sequence 8>     -> chunk
	kindIsolated       = 'q' // q<sequence 8>           -> request; q -> the last sequence
	kindRetry          = 'r' // r<ordinal 4><sequence 8> -> retry
	kindSinkName       = 's' // s<name>                 -> ordinal
	kindTotals         = 't' // t                       -> totals
	kindVersion        = 'v' // v                       -> format version
	kindDead           = 'x' // x<ordinal 4><sequence 8> -> dead letter
)

// Lengths of the keys with a fixed one.
const (
	eventKeyLen    = 1 + 8
	dedupKeyLen    = 1 + 4 + dedupHashLen
	pairKeyLen     = 1 + 4 + 8
	isolatedKeyLen = 1 + 8
)

func appendEventKey(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindEvent), seq)
}

func appendChunkKey(b []byte, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindChunk), first)
}

func appendSinkKey(b []byte, kind byte, ordinal uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), ordinal)
}

func appendPairKey(b []byte, kind byte, ordinal uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendSinkKey(b, kind, ordinal), seq)
}

func appendBucketKey(b []byte, kind byte, bucket uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), bucket)
}

func appendDedupKey(b []byte, kind byte, bucket uint32, h dedupHash) []byte {
	return append(appendBucketKey(b, kind, bucket), h[:]...)
}

func appendIsolatedKey(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindIsolated), seq)
}

// lastSequence reads the sequence that ends a key.
func lastSequence(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
