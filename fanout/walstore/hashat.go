package walstore

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// HashAt returns the hash at position at of timeline tli, the current one or an ancestor, from memory. False: the
// position is not received yet, not of that timeline, or too old. For an old one [Store.ReadHash] has it. Any goroutine
// may call it; it waits for nothing and allocates nothing.
//
// Inside an incomplete record hashes of servers may differ (ruling R36): compare them at the end of a record.
func (s *Store) HashAt(tli lsn.TimelineID, at lsn.LSN) (sum uint64, ok bool) {
	s.mu.Lock()
	if !s.mayHash(tli, at) {
		s.mu.Unlock()
		return 0, false
	}
	if k := s.tail.before; at == s.tail.low && k.ok {
		s.mu.Unlock()
		return k.sum, true
	}
	state, rest, ok := s.tail.hashTo(at)
	s.mu.Unlock()
	if !ok {
		return 0, false
	}
	_, _ = state.Write(rest)
	return state.Sum64(), true
}

// ReadHash returns the hash, as HashAt does, for any position that is stored; it may read a segment from disk. Up to
// the end of a complete segment it takes the digest that is kept beside it.
//
// Errors: *[TimelineError], *[GapError] when at is not received yet, [ErrNotAdopted], those of reading.
func (s *Store) ReadHash(tli lsn.TimelineID, at lsn.LSN) (uint64, error) {
	if sum, ok := s.HashAt(tli, at); ok {
		return sum, nil
	}
	s.mu.Lock()
	pos, contained, end := s.pos, s.history.Contains(tli), s.endOf(tli)
	s.mu.Unlock()
	switch {
	case pos.Timeline == 0:
		return 0, ErrNotAdopted
	case !contained:
		return 0, &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "it is not in the history"}
	case at > end || at == lsn.Invalid:
		return 0, &GapError{Expected: end, Got: at}
	}
	if g, complete := s.SegmentOf(at - 1); complete && g.Timeline == tli && g.End == at {
		if d, ok := s.digestOf(g); ok {
			return d.Sum, nil
		}
	}
	sum, err := s.hashTo(at)
	if err != nil {
		return 0, fmt.Errorf("hash WAL up to %s: %w", at, err)
	}
	return sum.Sum64(), nil
}

// mayHash reports whether at is received WAL of tli. s.mu is held.
func (s *Store) mayHash(tli lsn.TimelineID, at lsn.LSN) bool {
	return at != lsn.Invalid && s.pos.Timeline != 0 && s.history.Contains(tli) && at <= s.endOf(tli)
}

// hashTo returns the state of the hash of at's segment where the page of the byte before at starts. rest has the bytes
// from there to at. false: the tail does not know. It is the tail's memory: do not change it.
// Store.mu is held.
func (t *tail) hashTo(at lsn.LSN) (state xxhash.Digest, rest []byte, ok bool) {
	if at <= t.low {
		return state, nil, false
	}
	page := (at - 1).PageStart()
	b := t.find(page)
	if b == nil || !b.hashed {
		return state, nil, false
	}
	return b.sums[(page-b.start)/lsn.PageSize], b.buf[page-b.start : at-b.start], true
}

// hashTo gives the state of the hash behind the byte before at, from memory or from disk, from the nearest state
// that is known.
func (s *Store) hashTo(at lsn.LSN) (xxhash.Digest, error) {
	s.mu.Lock()
	state, rest, ok := s.tail.hashTo(at)
	var from lsn.LSN
	if !ok {
		if state, ok = s.hashes.block(at - 1); ok {
			from = (at - 1) - (at-1)%BlockSize
		}
	}
	s.mu.Unlock()
	switch {
	case rest != nil:
		_, err := state.Write(rest)
		return state, err
	case !ok:
		state.Reset()
		from = s.segs.size.Floor(at - 1)
	}
	err := s.readPieces(from, at, func(b []byte) { _, _ = state.Write(b) })
	return state, err
}

// readPieces gives the stored WAL [from, to) to f, piece by piece; f must not keep a piece. It may wait for the disk.
func (s *Store) readPieces(from, to lsn.LSN, f func([]byte)) error {
	buf := make([]byte, min(to-from, hashBuffer))
	for from < to {
		piece := buf[:min(to-from, lsn.LSN(len(buf)))]
		if err := s.readStored(from, piece); err != nil {
			return err
		}
		f(piece)
		from += lsn.LSN(len(piece))
	}
	return nil
}

// Sealed lists the remembered digests of complete segments that end beyond after, oldest first. They are there as soon
// as the segment is received. At most the newest 256 are remembered; see [Store.SealedDigest] for others. The segment
// of an XLOG_SWITCH is hashed with the zeros that are stored behind it.
func (s *Store) Sealed(after lsn.LSN) []SegmentDigest {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := len(s.hashes.sealed)
	for i > 0 && s.hashes.sealed[i-1].End > after && s.hashes.sealed[i-1].End <= s.pos.Received {
		i--
	}
	return slices.Clone(s.hashes.sealed[i:])
}

// SealedDigest gives the digest of segment g, the hash of all of it: from memory, from its sidecar, or by
// reading it.
//
// Errors: [ErrTimeline] when g is not a complete segment of the current history, those of ReadHash.
func (s *Store) SealedDigest(g Segment) (uint64, error) {
	s.mu.Lock()
	for i := len(s.hashes.sealed) - 1; i >= 0; i-- {
		if d := s.hashes.sealed[i]; d.Segment == g && g.End <= s.pos.Received {
			s.mu.Unlock()
			return d.Sum, nil
		}
	}
	s.mu.Unlock()
	if now, ok := s.SegmentOf(g.Start); !ok || now != g {
		return 0, fmt.Errorf("digest of [%s, %s) on timeline %s: %w", g.Start, g.End, g.Timeline, ErrTimeline)
	}
	if d, ok := s.digestOf(g); ok {
		return d.Sum, nil
	}
	return s.ReadHash(g.Timeline, g.End)
}
