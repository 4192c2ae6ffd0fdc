package daemon

import (
	"maps"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// line returns the hash of the history and the fingerprint of the first WAL of p's timeline, as the other members are
// told them. It never reads from disk. Both are zero while the store's history is of another timeline. They are zero,
// too, from when the first WAL is there until [ownStore.Learn] has read it.
func (s *ownStore) line(system lsn.SystemID, p walstore.Positions) (line uint64, mark vote.Fingerprint) {
	b := s.begun.Load()
	if !b.Of(system, p.Timeline) {
		h := s.store.History()
		if h.Timeline != p.Timeline || p.Timeline == 0 {
			return 0, vote.Fingerprint{} // it is about to change
		}
		b = cluster.Begin(system, h, walstore.BeginningSize)
		s.begun.Store(b)
	}
	return b.Said(p.Received)
}

// Learn reads how the timeline begins, once.
func (s *ownStore) Learn() {
	id, _ := s.store.Identity()
	s.line(id.System, s.store.Positions())
	b := s.begun.Load()
	if b == nil || !b.Due(s.store.Positions().Received) {
		return
	}
	print, read := s.store.Beginning()
	if read && b.Of(id.System, s.store.Positions().Timeline) { // else it is asked again
		s.begun.CompareAndSwap(b, b.Marked(print))
	}
}

// sealedRead bounds how many segments' digests one call of Sealed takes beyond those in the store's memory. After a
// start there are none. The newest are enough, because the other members remember more.
const sealedRead = 4

// HashAt returns a hash of this proxy's WAL from memory.
func (s *ownStore) HashAt(t lsn.TimelineID, at lsn.LSN) (uint64, bool) { return s.store.HashAt(t, at) }

// ReadHash is HashAt, from disk where it must; of a whole segment it is the digest that is stored beside it.
func (s *ownStore) ReadHash(t lsn.TimelineID, at lsn.LSN) (uint64, error) {
	if id, ok := s.store.Identity(); ok && at > 1 && id.SegSize.IsStart(at) {
		if g, ok := s.store.SegmentOf(at - 1); ok && g.Timeline == t && g.End == at {
			return s.store.SealedDigest(g)
		}
	}
	return s.store.ReadHash(t, at)
}

// LastComplete returns the end of the last complete record, from disk where it must.
func (s *ownStore) LastComplete(t lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) {
	return s.store.LastComplete(t, at)
}

// Sealed are the newest complete segments by their hashes.
func (s *ownStore) Sealed(n int) (pairs []compare.Pair) {
	complete := s.store.Positions().Complete // before the digests: what ends below it stays as it is (ruling R36)
	for _, d := range s.store.Sealed(lsn.Invalid) {
		pairs = append(pairs, compare.Pair{Timeline: d.Timeline, At: d.End, Sum: d.Sum})
	}
	pairs = compare.Newest(pairs, complete, n)
	id, ok := s.store.Identity()
	if !ok {
		return pairs
	}
	size, p := lsn.LSN(id.SegSize), s.store.Positions()
	at := id.SegSize.Floor(max(min(p.Flushed, complete), 1))
	if len(pairs) > 0 {
		at = pairs[0].At - size
	}
	for len(pairs) < min(n, sealedRead) && at > max(p.Oldest, size) {
		g, there := s.store.SegmentOf(at - 1)
		if !there {
			break
		}
		sum, err := s.sealed(g)
		if err != nil {
			break
		}
		pairs = append([]compare.Pair{{Timeline: g.Timeline, At: g.End, Sum: sum}}, pairs...)
		at = g.Start
	}
	return pairs
}

// sealed is a digest that is read once.
func (s *ownStore) sealed(g walstore.Segment) (uint64, error) {
	known := s.digest.Load()
	if known != nil {
		if sum, ok := (*known)[g]; ok {
			return sum, nil
		}
	}
	sum, err := s.store.SealedDigest(g)
	if err == nil {
		next := map[walstore.Segment]uint64{g: sum}
		if known != nil && len(*known) < 2*sealedRead {
			maps.Copy(next, *known)
		}
		s.digest.Store(&next)
	}
	return sum, err
}
