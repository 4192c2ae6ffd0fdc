package cluster

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// HistoryHash returns a hash of a timeline and of where it and its ancestors began. Of two servers that were
// promoted to one number, each knows another one, unless both left at the same position: then the bytes differ
// (vote.State.FirstWAL).
func HistoryHash(h lsn.History) uint64 {
	f := fnv.New64a()
	b := binary.BigEndian.AppendUint32(nil, uint32(h.Timeline))
	for _, p := range h.Parents {
		b = binary.BigEndian.AppendUint32(b, uint32(p.Timeline))
		b = binary.BigEndian.AppendUint64(b, uint64(p.Switch))
	}
	_, _ = f.Write(b) // never fails
	return max(1, f.Sum64())
}

// Beginning tells a timeline of a system from another one of its number: by where it and its ancestors began, and by
// the WAL that it begins with. It is a value that never changes, since a store refuses another one of that number.
type Beginning struct {
	system   lsn.SystemID
	timeline lsn.TimelineID
	readable lsn.LSN // once WAL is received up to here, what it begins with can be read
	history  uint64
	firstWAL vote.Fingerprint
}

// Begin returns the beginning of timeline t, whose history h should be. The fingerprint of its first WAL is that of
// size bytes. Where its first WAL was is not known of every timeline: then that fingerprint never comes. nil: h is of
// another timeline, since the store is about to change over, or t is 0.
func Begin(system lsn.SystemID, t lsn.TimelineID, h lsn.History, size lsn.LSN) *Beginning {
	if h.Timeline != t || t == 0 {
		return nil
	}
	b := &Beginning{system: system, timeline: t, readable: h.Begin() + size, history: HistoryHash(h)}
	b.firstWAL.Never = h.Begin() == lsn.Invalid
	return b
}

// Of reports whether b is that of timeline t; nil is of none.
func (b *Beginning) Of(system lsn.SystemID, t lsn.TimelineID) bool {
	return b != nil && b.system == system && b.timeline == t
}

// Said returns the history's hash and the first WAL's fingerprint for the other members, while WAL is received up to
// received. Both are zero while first WAL that could be read was not: a member of message version 1 would take no
// fingerprint for one that never comes. So they are for nil.
func (b *Beginning) Said(received lsn.LSN) (history uint64, firstWAL vote.Fingerprint) {
	if b == nil || b.Due(received) {
		return 0, vote.Fingerprint{}
	}
	return b.history, b.firstWAL
}

// Due reports whether the first WAL can be read, and was not yet. That of nil never can.
func (b *Beginning) Due(received lsn.LSN) bool {
	return b != nil && !b.firstWAL.Known() && received >= b.readable
}

// WithFirstWAL returns b with the fingerprint of its first WAL; a hash of 0: none will ever be known. b stays as it is.
func (b *Beginning) WithFirstWAL(hash uint64) *Beginning {
	known := *b
	known.firstWAL = vote.Fingerprint{Hash: hash, Never: hash == 0}
	return &known
}
