package walstore

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// dropUnpublished (6) removes segments of timelines that the mark does not reach: a switch that a
// crash cut short. What lies wholly beyond a fork is moved aside (ruling R3), and so is the segment
// of the fork when the switch had announced it.
func (s *Store) dropUnpublished(h lsn.History, m mark) error {
	for k := range s.segs.have {
		if k.tli <= m.Timeline {
			continue
		}
		delete(s.segs.have, k)
		if err := s.segs.drop(k, false); err != nil {
			return err
		}
	}
	for _, e := range h.Parents {
		from := e.Switch
		whole, err := s.announcedAside(e.Timeline, e.Switch)
		if err != nil {
			return err
		}
		if !whole && !s.segs.size.IsStart(from) {
			from = s.segs.size.Floor(from) + s.segLen()
		}
		s.moveAside(e.Timeline, from)
	}
	return nil
}

// finishAt does steps 9 to 11 at end, or below it. They read the last page before the end: a segment that is damaged
// there is no end. Neither is one that has other WAL in the place of what is owed, which d is. It returns what is owed
// now, and the damage that was found last.
func (s *Store) finishAt(
	h lsn.History, m mark, end lsn.LSN, d debt, damaged *DamagedError,
) (debt, *DamagedError, error) {
	defer s.segs.closeUnused() // what comes next may replace files
	for other := false; ; {
		err := s.readable(h, m, end)
		switch {
		case errors.As(err, &damaged) && end > m.Start:
			end = max(s.segs.size.Floor(end-1), m.Start)
			d = s.owe(m, end, damaged)
		case err == nil && s.tookOther(d.Print, end):
			other = true
			end = max(s.segs.size.Floor(d.Print.LSN-1), m.Start)
			m.LSN, m.Print = d.To, lsn.Print{} // what came instead is neither owed nor a name of it
			d = s.owe(m, end, nil)
		case err == nil && m.Unnoted != lsn.Invalid && s.tookOther(m.Print, end):
			other = true
			end = max(s.segs.size.Floor(m.Print.LSN-1), m.Start)
			d = s.owe(m, end, nil)
		case err != nil:
			return d, damaged, err
		default:
			if err = s.finish(h, m, end); err == nil && other {
				err = s.putAway(end)
			}
			return d, damaged, err
		}
	}
}

// readable (9) makes the WAL up to end durable, and publishes it so that it can be read.
func (s *Store) readable(h lsn.History, m mark, end lsn.LSN) error {
	if err := s.rewrite(h, m, end); err != nil {
		return err
	}
	oldest := s.segs.oldest(h, end)
	s.setEnd(h, m.Start, oldest, end, &resumption{}) // so that it can be read
	r, err := s.resumeAt(end)
	if err != nil {
		return err
	}
	s.setEnd(h, m.Start, oldest, end, r)
	return nil
}

// finish (10 and 11) makes durable where the store ends, and notes what is left to do.
func (s *Store) finish(h lsn.History, m mark, end lsn.LSN) error {
	if err := s.dropDigests(end); err != nil {
		return err
	}
	// 10: even if it is the same again; the one that was read may have been in the kernel's memory
	// only.
	next := sureMark(m.Timeline, end, m.Start)
	next.Print = s.printAtEnd(m.Print)
	if s.stages.unnoted != nil { // a lower mark would let the next start forget what is owed
		next = m
		next.Unnoted = end
	}
	if err := s.stages.mark.write(next); err != nil {
		return err
	}
	s.sealed = nil
	s.findUnsealed(h, end) // 11
	oldest := s.Positions().Oldest
	if _, noted := s.readOldest(); !noted {
		if err := s.noteOldest(oldest); err != nil {
			s.log.Warn("cannot note which segment is the oldest", "err", err)
		}
	}
	s.log.Info("store recovered",
		"timeline", uint32(h.Timeline), "mark_lsn", m.LSN, "end_lsn", end, "oldest_lsn", oldest)
	return nil
}

// dropDigests removes, durably, the digests of segments that reach beyond end, where damage was found. Other WAL may
// take the place of what they are of.
func (s *Store) dropDigests(end lsn.LSN) error {
	x := s.segs
	names, err := s.fs.ReadDir(s.walDir)
	if err != nil {
		return fmt.Errorf("look for digests beyond the end: %w", err)
	}
	dropped := false
	for _, name := range names {
		segment, isDigest := strings.CutSuffix(name, digestSuffix)
		_, segno, ok := x.size.ParseFileName(segment)
		if !isDigest || !ok || x.size.Start(segno)+s.segLen() <= end {
			continue
		}
		if err := x.remove(name); err != nil {
			return fmt.Errorf("cannot remove the digest of a segment that goes on: %w", err)
		}
		dropped = true
	}
	if !dropped {
		return nil
	}
	if err := s.fs.SyncDir(s.walDir); err != nil {
		return fmt.Errorf("cannot remove the digest of a segment that goes on: %w", err)
	}
	return nil
}

// printAtEnd names the last complete record of what was recovered. was is the mark's, which may say so already;
// otherwise WAL of a segment is read. Zero: it is not known.
func (s *Store) printAtEnd(was lsn.Print) lsn.Print {
	pos := s.Positions()
	switch {
	case pos.Complete <= pos.Oldest:
		return lsn.Print{}
	case was.LSN == pos.Complete && was.Timeline == pos.Timeline:
		return was
	}
	sum, err := s.ReadHash(pos.Timeline, pos.Complete)
	if err != nil {
		return lsn.Print{} // of that segment its readers will know
	}
	return lsn.Print{Timeline: pos.Timeline, LSN: pos.Complete, Sum: sum}
}

// rewrite (9) writes the WAL that the mark does not call durable once more and syncs it. A process that died may have
// seen an fsync fail. After that the kernel calls its pages clean though the disk lacks them.
func (s *Store) rewrite(h lsn.History, m mark, end lsn.LSN) error {
	x := s.segs
	buf := make([]byte, hashBuffer)
	for at := m.Sure; at < end; {
		segno := x.size.Segno(at)
		k, ok := x.find(h, h.TimelineOf(at), segno)
		if !ok {
			return &DamagedError{File: x.size.FileName(h.Timeline, segno), LSN: at, Reason: "it is missing"}
		}
		stop := min(end, x.size.Start(segno)+s.segLen())
		if err := rewriteFile(s.fs, x.path(x.name(k)), x.size.Offset(at), int64(stop-at), buf); err != nil {
			return err
		}
		at = stop
	}
	return nil
}

func rewriteFile(fsys FS, path string, off, n int64, buf []byte) error {
	f, err := fsys.OpenWrite(path)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	for n > 0 && err == nil {
		part := buf[:min(n, int64(len(buf)))]
		if _, err = f.ReadAt(part, off); err == io.EOF {
			err = nil // the last bytes of the file
		}
		if err == nil {
			_, err = f.WriteAt(part, off)
		}
		off += int64(len(part))
		n -= int64(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make recovered WAL durable: %w", err)
	}
	return nil
}

// findUnsealed (11) notes complete segments without a digest: a crash came before it was written.
func (s *Store) findUnsealed(h lsn.History, end lsn.LSN) {
	x := s.segs
	names, err := s.fs.ReadDir(s.walDir)
	if err != nil {
		return // they are walked when they are read
	}
	for k := range x.have {
		segEnd := x.size.Start(k.segno) + s.segLen()
		sw, _, historic := h.SwitchPoint(k.tli)
		_, digested := slices.BinarySearch(names, x.name(k)+digestSuffix)
		if segEnd > end || historic && segEnd > sw || !h.Contains(k.tli) || digested {
			continue
		}
		s.sealed = append(s.sealed, sealJob{key: k, end: segEnd})
	}
	slices.SortFunc(s.sealed, func(a, b sealJob) int { return int(a.key.segno) - int(b.key.segno) })
}
