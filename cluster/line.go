package cluster

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Line is a fingerprint of a timeline and of where it and its ancestors began. Of two servers that were promoted to
// one number, each knows another one, unless both left at the same position: then the bytes differ
// (vote.State.Mark).
func Line(h lsn.History) uint64 {
	f := fnv.New64a()
	b := binary.BigEndian.AppendUint32(nil, uint32(h.Timeline))
	for _, p := range h.Parents {
		b = binary.BigEndian.AppendUint32(b, uint32(p.Timeline))
		b = binary.BigEndian.AppendUint64(b, uint64(p.Switch))
	}
	_, _ = f.Write(b) // never fails
	return max(1, f.Sum64())
}
