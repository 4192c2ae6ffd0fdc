package walstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// PutHistory stores the history file of tli, durably before it returns. The same history again is
// fine, another one for the same timeline is [ErrHistory]: two servers made one timeline.
func (s *Store) PutHistory(tli lsn.TimelineID, content []byte) error {
	parsed, err := lsn.ParseHistory(tli, content)
	if err != nil {
		return fmt.Errorf("store timeline history: %w", err)
	}
	if len(content) > maxHistory {
		return fmt.Errorf("store timeline history: %d bytes, the limit is %d", len(content), maxHistory)
	}
	s.histMu.Lock()
	defer s.histMu.Unlock()
	if have, ok := s.histories[tli]; ok {
		if !sameHistory(have.parsed, parsed) {
			return fmt.Errorf("store timeline history: %w: timeline %s", ErrHistory, tli)
		}
		return nil
	}
	if err := vfs.WriteFile(s.fs, s.walPath(tli.HistoryFileName()), content); err != nil {
		return fmt.Errorf("store timeline history: %w", err)
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

// HistoryFile gives the content of tli's history file; [ErrNoHistory] when it is not stored.
// Timeline 1 has none.
func (s *Store) HistoryFile(tli lsn.TimelineID) ([]byte, error) {
	s.histMu.Lock()
	defer s.histMu.Unlock()
	if h, ok := s.histories[tli]; ok {
		return bytes.Clone(h.content), nil
	}
	return nil, fmt.Errorf("timeline %s: %w", tli, ErrNoHistory)
}

// historyOf gives the ancestry of tli.
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
	s.in.joint = nil
	switch {
	case pos.Timeline == 0:
		err = s.begin(tli, at)
	case tli == pos.Timeline:
		s.in.joint = s.newJoint(tli, at)
		if at > pos.Received {
			err = &GapError{Expected: s.segs.size.Floor(pos.Received), Got: at}
		}
	case tli < pos.Timeline:
		err = &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "it is older"}
	default:
		err = s.switchTo(tli, at)
	}
	if err != nil {
		return fmt.Errorf("start stream: %w", err)
	}
	s.in.started, s.in.tli, s.in.next, s.in.block = true, tli, at, nil
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
	if err := s.createMark(mark{Timeline: tli, LSN: at, Start: at}); err != nil {
		return err
	}
	s.setEnd(h, at, at, at, nil)
	s.watch.nudge(MovedReceived | MovedWritten | MovedFlushed | MovedTimeline)
	return nil
}

// setEnd puts the whole state at a durable end. page holds the bytes of its page before it.
func (s *Store) setEnd(h lsn.History, start, oldest, end lsn.LSN, page []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.start, s.synced = h, start, end
	s.pos = Positions{Timeline: h.Timeline, Oldest: oldest, Received: end, Written: end, Flushed: end}
	s.tail.reset(end, page)
	s.in.block = nil
}

// switchTo moves the store to a newer timeline.
func (s *Store) switchTo(tli lsn.TimelineID, at lsn.LSN) error {
	h, err := s.historyOf(tli)
	if err != nil {
		return err
	}
	pos := s.Positions()
	fork, _, ok := h.SwitchPoint(pos.Timeline)
	if !ok {
		return &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "its history does not contain it"}
	}
	if err := s.sameAncestry(h, pos); err != nil {
		return err
	}
	end := min(fork, pos.Received)
	x := s.segs
	if at > end || at < x.size.Floor(h.Begin()) {
		return &GapError{Expected: x.size.Floor(end), Got: at}
	}
	if err := s.drain(); err != nil {
		if errors.Is(err, errNoSpace) {
			return err
		}
		return s.fail(err)
	}
	// Removal waits: by the positions of the timeline that ends it would take the new one's first segment.
	s.stages.make.Lock()
	defer s.stages.make.Unlock()
	oldest := s.Positions().Oldest
	if end < oldest {
		return &GapError{Expected: x.size.Floor(end), Got: at}
	}
	s.stages.write.Lock()
	defer s.stages.write.Unlock()
	s.stages.sync.Lock()
	defer s.stages.sync.Unlock()
	s.stages.markMu.Lock()
	defer s.stages.markMu.Unlock()
	if err := s.forkFile(segKey{tli, x.size.Segno(end)}, end); err != nil {
		return err
	}
	page := make([]byte, end.PageOffset())
	if err := s.readStored(end.PageStart(), page); err != nil {
		return err
	}
	last, err := s.lastHeader(end)
	if err != nil {
		return err
	}
	if fork < pos.Received {
		if err := s.announceAside(pos.Timeline, fork); err != nil {
			return err
		}
	}
	if err := s.stages.mark.write(mark{Timeline: tli, LSN: end, Start: s.start}); err != nil {
		return s.fail(err) // which of the two timelines the disk has is unknown now
	}
	old := s.leaveFiles()
	s.giveUpRepair(tli, end)
	s.setEnd(h, s.start, oldest, end, page)
	s.in.checker.Resume(last)
	s.watch.nudge(MovedReceived | MovedWritten | MovedFlushed | MovedTimeline)
	if fork < pos.Received {
		s.log.Error("the new timeline lacks WAL that was received: it is moved aside, and never served again",
			"timeline", uint32(pos.Timeline), "new_timeline", uint32(tli), "fork_lsn", fork, "end_lsn", pos.Received,
			"bytes", uint64(pos.Received-fork), "directory", s.asideDir(pos.Timeline, fork))
		s.moveAside(pos.Timeline, fork)
	}
	if old != nil {
		return s.fail(old)
	}
	return nil
}

// sameAncestry refuses a history that sees the past of the current timeline differently.
func (s *Store) sameAncestry(h lsn.History, pos Positions) error {
	for _, e := range s.History().Parents {
		if at, _, ok := h.SwitchPoint(e.Timeline); !ok || at != e.Switch {
			return &TimelineError{Timeline: h.Timeline, Current: pos.Timeline,
				Reason: fmt.Sprintf("its history leaves timeline %s at %s, ours at %s", e.Timeline, at, e.Switch)}
		}
	}
	return nil
}

// forkFile makes the new timeline's first segment: the old one's bytes up to end, durable. None is
// needed when end is a segment boundary.
func (s *Store) forkFile(k segKey, end lsn.LSN) error {
	x := s.segs
	n := x.size.Offset(end)
	if n == 0 {
		return nil
	}
	f, err := x.create(k)
	if err != nil {
		return err
	}
	buf := make([]byte, min(n, hashBuffer))
	for off := int64(0); off < n && err == nil; off += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), n-off)]
		if err = s.readStored(x.size.Start(k.segno)+lsn.LSN(off), part); err == nil {
			_, err = f.WriteAt(part, off)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.fs.SyncDir(s.walDir)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy the segment of the fork: %w", err)
	}
	x.add(k)
	return nil
}

// leaveFiles closes the files of the timeline that ends. The locks of all stages are held.
func (s *Store) leaveFiles() error {
	s.stages.cur = nil
	s.mu.Lock()
	files := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	var errs []error
	for _, f := range files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

// readStored fills b with the current timeline's WAL from at on, from memory or disk. All of it
// must be below the received end.
func (s *Store) readStored(at lsn.LSN, b []byte) error {
	h, pos, _ := s.readState()
	r, err := s.NewReader(h.TimelineOf(at), at)
	if err != nil {
		return err
	}
	defer func() { r.Close() }()
	for n := 0; n < len(b); {
		c, err := r.Next(at+lsn.LSN(len(b)), len(b)-n+lsn.PageSize)
		if err != nil {
			return err
		}
		if c.Len() == 0 {
			if h.TimelineOf(r.pos) == r.tli || r.pos >= pos.Received {
				return fmt.Errorf("read stored WAL at %s: %w", r.pos, io.ErrUnexpectedEOF)
			}
			r.tli = h.TimelineOf(r.pos) // the next timeline goes on here
			continue
		}
		got, err := c.Bytes(b[n:])
		if err != nil {
			return fmt.Errorf("read stored WAL at %s: %w", c.Start, err)
		}
		n += len(got)
	}
	return nil
}

// lastHeader gives the header bytes of the last page before end, nil when nothing is stored there.
func (s *Store) lastHeader(end lsn.LSN) ([]byte, error) {
	at := (end - 1).PageStart()
	_, pos, _ := s.readState()
	if end == 0 || at < pos.Oldest {
		return nil, nil
	}
	b := make([]byte, min(int(end-at), lsn.PageSize))
	if err := s.readStored(at, b); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return b, nil
}
