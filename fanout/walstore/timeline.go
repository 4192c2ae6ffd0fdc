package walstore

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// maxHistory bounds a history file: some 100 bytes per failover, so ten thousand failovers.
const maxHistory = 1 << 20

// storedHistory is a history file: what it says and, byte for byte, what it is.
type storedHistory struct {
	parsed  lsn.History
	content []byte
}

// PutHistory stores the history file of tli, durably before it returns. The same history again is fine. Another one for
// the same timeline is [ErrHistory], as two servers made one timeline. It takes the place of one that the store never
// went over to, whose server died before that, or was refused.
func (s *Store) PutHistory(tli lsn.TimelineID, content []byte) error {
	parsed, err := lsn.ParseHistory(tli, content)
	if err != nil {
		return fmt.Errorf("store timeline history: %w", err)
	}
	if len(content) > maxHistory {
		return fmt.Errorf("store timeline history: %d bytes, the limit is %d", len(content), maxHistory)
	}
	reached := s.reached()
	s.histMu.Lock()
	defer s.histMu.Unlock()
	have, ok := s.histories[tli]
	if ok && sameHistory(have.parsed, parsed) {
		return nil
	}
	if ok && tli <= reached {
		return fmt.Errorf("store timeline history: %w: timeline %s", ErrHistory, tli)
	}
	for _, name := range []string{tli.HistoryFileName(), tli.HistoryFileName() + historyCopy} {
		if err := vfs.WriteFile(s.fs, s.walPath(name), content); err != nil {
			return fmt.Errorf("store timeline history: %w", err)
		}
	}
	s.histories[tli] = storedHistory{parsed, bytes.Clone(content)}
	return nil
}

// sameHistory compares timelines and switch points, not the prose.
func sameHistory(a, b lsn.History) bool {
	return slices.EqualFunc(a.Parents, b.Parents, func(x, y lsn.HistoryEntry) bool {
		return x.Timeline == y.Timeline && x.Switch == y.Switch
	})
}

// reached returns the highest timeline that the store has WAL of, or had, when it was emptied. A history above it is of
// a server that was about to be followed, and says nothing about the stored WAL.
func (s *Store) reached() lsn.TimelineID {
	if t := s.Positions().Timeline; t != 0 {
		return t
	}
	p := s.Promised()
	if p.At != lsn.Invalid && p.Timeline == 0 {
		return math.MaxUint32 // the release that wrote it did not note that
	}
	return p.Timeline
}

// HistoryFile gives the content of tli's history file. [ErrNoHistory]: it is not stored, or the store has never been on
// that timeline or a later one. Timeline 1 has none.
func (s *Store) HistoryFile(tli lsn.TimelineID) ([]byte, error) {
	reached := s.reached()
	s.histMu.Lock()
	defer s.histMu.Unlock()
	if h, ok := s.histories[tli]; ok && tli <= reached {
		return bytes.Clone(h.content), nil
	}
	return nil, fmt.Errorf("timeline %s: %w", tli, ErrNoHistory)
}

// historyOf returns the ancestry of tli, by its stored history file; timeline 1 needs none. [ErrNoHistory]: it is not
// stored.
func (s *Store) historyOf(tli lsn.TimelineID) (lsn.History, error) {
	s.histMu.Lock()
	defer s.histMu.Unlock()
	if h, ok := s.histories[tli]; ok {
		return h.parsed, nil
	}
	if tli == 1 {
		return lsn.History{Timeline: 1}, nil
	}
	return lsn.History{}, fmt.Errorf("timeline %s: %w", tli, ErrNoHistory)
}

// StartStream begins the stream of timeline tli at at, the start of a segment. The messages follow
// by AppendFrom; a stream that was going on is over.
//
//   - Empty store: any segment start. A timeline above 1 needs its history (PutHistory) first.
//   - The current timeline: at or below the received end. What is stored is compared.
//   - An older timeline of the store's history, when the stored WAL ends below the segment in which the next one began:
//     at or below the received end. WAL up to there is taken.
//   - A newer timeline, whose history is stored and contains the current one: at or below the point
//     up to which the WAL received so far belongs to it. The store is on the new timeline, durably,
//     when StartStream returns; it may wait for the disk.
//
// Errors: *[GapError] when WAL would be missing, *[TimelineError], *[ForkBelowError],
// [ErrNoHistory], [ErrNotAdopted], those of the disk.
func (s *Store) StartStream(tli lsn.TimelineID, at lsn.LSN) error {
	s.in.started = false
	if _, ok := s.Identity(); !ok {
		return fmt.Errorf("start stream: %w", ErrNotAdopted)
	}
	if err := s.Err(); err != nil {
		return err
	}
	if !s.segs.size.IsStart(at) || at == 0 {
		return fmt.Errorf("start stream: %w: %s is not the start of a segment", ErrGap, at)
	}
	pos := s.Positions()
	var err error
	s.in.continuity, s.in.left = nil, lsn.Invalid
	switch {
	case pos.Timeline == 0:
		err = s.begin(tli, at)
	case tli == pos.Timeline:
		s.in.continuity = s.newContinuityCheck(tli, at)
		if at > pos.Received {
			err = &GapError{Expected: s.segs.size.Floor(pos.Received), Got: at}
		}
	case tli < pos.Timeline:
		err = s.startBelow(tli, at, pos)
	default:
		err = s.switchTo(tli, at)
	}
	if err != nil {
		return fmt.Errorf("start stream: %w", err)
	}
	s.in.started, s.in.tli, s.in.next, s.in.block = true, tli, at, nil
	s.expectOwed()
	return nil
}

// startBelow begins the stream of an older timeline of the history. Damage has taken the store back below the segment
// in which the next one began, and that has no file there.
func (s *Store) startBelow(tli lsn.TimelineID, at lsn.LSN, pos Positions) error {
	h := s.History()
	left, _, ok := h.SwitchPoint(tli)
	if !ok || h.TimelineOf(at) != tli || pos.Received >= s.segs.size.Floor(h.Begin()) {
		return &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "it is older"}
	}
	if at > pos.Received {
		return &GapError{Expected: s.segs.size.Floor(pos.Received), Got: at}
	}
	s.in.left, s.in.continuity = left, s.newContinuityCheck(tli, at)
	return nil
}

// begin makes an empty store one that holds WAL of tli from at on: the mark says so.
func (s *Store) begin(tli lsn.TimelineID, at lsn.LSN) error {
	h, err := s.historyOf(tli)
	if err != nil {
		return err
	}
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	if err := s.createMark(sureMark(tli, at, at)); err != nil {
		return err
	}
	if err := s.noteOldest(at); err != nil {
		return fmt.Errorf("note the oldest segment: %w", err)
	}
	s.setEnd(h, at, at, at, &resumption{framer: s.newFramer()})
	s.watch.Nudge(MovedReceived | MovedWritten | MovedFlushed | MovedTimeline)
	return nil
}

// setEnd puts the whole state at a durable end, from which r goes on.
func (s *Store) setEnd(h lsn.History, start, oldest, end lsn.LSN, r *resumption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.start, s.held, s.ahead.to = h, start, lsn.Invalid, lsn.Invalid
	s.oweC.Wake()
	s.syncing, s.synced, s.marked, s.sure = end, end, end, end
	s.pos = Positions{Timeline: h.Timeline, Oldest: oldest, Received: end, Written: end, Flushed: end, Complete: oldest}
	if c := r.framer.Complete(); c != lsn.Invalid {
		s.pos.Complete = c
	} else if r.blind {
		s.pos.Complete = end
	}
	s.hashes.cut(end)
	s.tail.reset(end, r)
	s.in.block, s.in.framer, s.in.hash = nil, r.framer, r.hash
	s.in.checker.Resume(r.header)
}
