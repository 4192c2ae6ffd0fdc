package walstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// switchTo moves the store to a newer timeline, whose WAL begins at at. It waits for the disk. Until the mark is
// written an error leaves the store as it was.
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
	// Removal waits, too: by the positions of the timeline that ends it would take the new one's first segment.
	defer s.stages.halt()()
	oldest := s.Positions().Oldest
	if end < oldest {
		return &GapError{Expected: x.size.Floor(end), Got: at}
	}
	if err := s.forkFile(segKey{tli, x.size.Segno(end)}, end); err != nil {
		return err
	}
	r, err := s.resumeAt(end)
	if err != nil {
		return err
	}
	// The beginning of a record is no WAL that could be missed (ruling R36).
	lacks, partial := fork < pos.Complete, fork < pos.Received && fork >= pos.Complete
	if lacks {
		if err := s.announceAside(pos.Timeline, fork); err != nil {
			return err
		}
	}
	if err := s.endAt(h, oldest, end, r); err != nil {
		return err
	}
	s.giveUpRepair(tli, end)
	s.watch.Nudge(MovedReceived | MovedWritten | MovedFlushed | MovedTimeline)
	if partial {
		s.dropPartial(pos.Timeline, fork, pos.Received)
	}
	if lacks {
		s.log.Error("the new timeline lacks WAL that was received: it is moved aside, and never served again",
			"timeline", uint32(pos.Timeline), "new_timeline", uint32(tli), "fork_lsn", fork, "end_lsn", pos.Received,
			"bytes", uint64(pos.Received-fork), "directory", s.asideDir(pos.Timeline, fork))
		s.moveAside(pos.Timeline, fork)
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
	if err = s.copyUpTo(f, k, end); err == nil {
		err = s.fs.SyncDir(s.walDir)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy the segment of the fork: %w", err)
	}
	x.add(k)
	return nil
}

// copyUpTo copies the stored WAL of segment k up to end to f, and syncs it.
func (s *Store) copyUpTo(f vfs.File, k segKey, end lsn.LSN) error {
	begin := s.segs.size.Start(k.segno)
	buf := make([]byte, min(end-begin, hashBuffer))
	for at := begin; at < end; {
		part := buf[:min(lsn.LSN(len(buf)), end-at)]
		if err := s.readStored(at, part); err != nil {
			return err
		}
		if _, err := f.WriteAt(part, s.segs.size.Offset(at)); err != nil {
			return err
		}
		at += lsn.LSN(len(part))
	}
	return f.Sync()
}

// endAt makes end, which is stored, the durable end from which the store goes on as r says. h is the history of the
// timeline that is switched to, or the same one, cut back. The locks of all stages are held. A crash after any of its
// steps leaves a store that is right:
//
// 1. The digest of the segment that goes on is removed, durably. With the digest in place after the mark, a power loss
// would make new bytes in that segment count as damage. A segment without a digest is walked.
// 2. The mark says where the store ends. Up to here the store goes on as it was. After an error of the mark nobody
// knows which end the disk has, so the store fails.
// 3. The files being written are left, and the state in memory follows.
//
// The caller removes or moves aside the WAL beyond end, afterwards. Recovery recognises it by the mark.
func (s *Store) endAt(h lsn.History, oldest, end lsn.LSN, r *resumption) error {
	if err := s.noteDebt(); err != nil {
		return err
	}
	if err := s.unseal(h.Timeline, end); err != nil {
		return err
	}
	if err := s.stages.mark.write(sureMark(h.Timeline, end, s.start)); err != nil {
		return s.fail(err)
	}
	left := s.leaveFiles()
	s.setEnd(h, s.start, oldest, end, r)
	if left != nil {
		return s.fail(left)
	}
	return nil
}

// unseal takes back that segments are complete which reach beyond end. The segment that goes on on timeline tli loses
// its digest, durably.
func (s *Store) unseal(tli lsn.TimelineID, end lsn.LSN) error {
	x := s.segs
	if k := (segKey{tli, x.size.Segno(end)}); !x.size.IsStart(end) {
		err := x.remove(x.name(k) + digestSuffix)
		if err == nil {
			err = s.fs.SyncDir(s.walDir)
		}
		if err != nil {
			return fmt.Errorf("cannot remove the digest of a segment that goes on: %w", err)
		}
		x.mu.Lock()
		delete(x.verified, k)
		x.mu.Unlock()
	}
	s.mu.Lock()
	s.sealed = slices.DeleteFunc(s.sealed, func(job sealJob) bool { return job.end > end })
	s.mu.Unlock()
	return nil
}

// leaveFiles closes the files of the timeline that ends, all of them, and returns the errors. The locks of all stages
// are held.
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

// readStored fills b with the current timeline's WAL from at on, from memory or disk. All of it must be below the
// received end, else it is io.ErrUnexpectedEOF. Errors are those of a reader, such as [ErrRemoved].
func (s *Store) readStored(at lsn.LSN, b []byte) error {
	h, pos, _ := s.readState()
	r, err := s.NewReader(h.TimelineOf(at), at)
	if err != nil {
		return err
	}
	r.own = true
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
