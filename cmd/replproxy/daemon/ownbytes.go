package daemon

import (
	"slices"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fingerprints returns the hash of the history and the fingerprint of the first WAL of p's timeline, as the other
// members are told them; see [cluster.Beginning]. 0 and zero: they are told nothing now. It never reads from disk:
// [ownStore.Learn] does.
func (s *ownStore) fingerprints(system lsn.SystemID, p walstore.Positions) (history uint64, firstWAL vote.Fingerprint) {
	b := s.begun.Load()
	if !b.Of(system, p.Timeline) {
		b = cluster.Begin(system, p.Timeline, s.store.History(), walstore.BeginningSize)
		s.begun.Store(b)
	}
	return b.Said(p.Received)
}

// Learn reads how the timeline begins, once.
func (s *ownStore) Learn() {
	id, _ := s.store.Identity()
	s.fingerprints(id.System, s.store.Positions())
	b := s.begun.Load()
	if !b.Due(s.store.Positions().Received) {
		return
	}
	hash, read := s.store.Beginning()
	if read && b.Of(id.System, s.store.Positions().Timeline) { // else it is asked again
		s.begun.CompareAndSwap(b, b.WithFirstWAL(hash))
	}
}

// HashAt returns a hash of this proxy's WAL from memory.
func (s *ownStore) HashAt(t lsn.TimelineID, at lsn.LSN) (uint64, bool) { return s.store.HashAt(t, at) }

// ReadHash returns a hash of this proxy's WAL, from disk where it must.
func (s *ownStore) ReadHash(t lsn.TimelineID, at lsn.LSN) (uint64, error) {
	return s.store.ReadHash(t, at)
}

// LastComplete returns the end of the last complete record, from disk where it must.
func (s *ownStore) LastComplete(t lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) {
	return s.store.LastComplete(t, at)
}

// Sealed returns the newest complete segments by their hashes, the oldest first: those in memory, and a few from disk.
func (s *ownStore) Sealed(n int) (prints []lsn.Print) {
	p := s.store.Positions() // before the digests: what ends below Complete stays as it is (ruling R36)
	for _, d := range s.store.Sealed(lsn.Invalid) {
		prints = append(prints, lsn.Print{Timeline: d.Timeline, LSN: d.End, Sum: d.Sum})
	}
	prints = compare.Newest(prints, p.Complete, n)
	id, _ := s.store.Identity()
	for _, end := range compare.Unread(prints, id.SegSize, p.Oldest, min(p.Flushed, p.Complete), n) {
		g, there := s.store.SegmentOf(end - 1)
		sum, err := s.store.SealedDigest(g)
		if !there || err != nil {
			break
		}
		prints = slices.Insert(prints, 0, lsn.Print{Timeline: g.Timeline, LSN: g.End, Sum: sum})
	}
	return prints
}
