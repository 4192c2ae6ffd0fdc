package walstore

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// importSuffix names a segment that is being fetched; a start removes what a crash left of it.
const importSuffix = ".import" + vfs.TempSuffix

// importGrace keeps a fetched segment although nobody reads it. A standby whose connection broke is back within
// wal_retrieve_retry_interval (5 s), some only after a restart.
const importGrace = 2 * time.Minute

// Segment is one whole segment [Start, End) in the form in which Timeline has it.
type Segment struct {
	Timeline   lsn.TimelineID
	Start, End lsn.LSN
}

// SegmentOf returns the segment that holds pos, as the current history sees it. Of a segment in which a timeline was
// left it is the file of the timeline that follows, which holds both. False: the segment is not complete and flushed
// here yet, or there is no WAL at all.
func (s *Store) SegmentOf(pos lsn.LSN) (Segment, bool) {
	h, at, _ := s.readState()
	if at.Timeline == 0 || pos == lsn.Invalid {
		return Segment{}, false
	}
	g := Segment{Start: s.segs.size.Floor(pos)}
	g.End = g.Start + s.segLen()
	g.Timeline = h.TimelineOf(g.End - 1)
	return g, g.End <= at.Flushed
}

// Name returns the segment's file name.
func (s *Store) Name(g Segment) string { return s.segs.name(s.keyOf(g)) }

func (s *Store) keyOf(g Segment) segKey { return segKey{g.Timeline, s.segs.size.Segno(g.Start)} }

// Has reports whether g has a file, good or not.
func (s *Store) Has(g Segment) bool {
	h, _, _ := s.readState()
	x := s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.find(h, g.Timeline, s.keyOf(g).segno)
	return ok
}

// Check reports whether g is stored and passes verification: nil, *[RemovedError], *[DamagedError],
// or an error of the disk. It reads the whole segment unless that was done lately.
func (s *Store) Check(g Segment) error {
	h, _, _ := s.readState()
	x := s.segs
	x.mu.Lock()
	k, ok := x.find(h, g.Timeline, s.keyOf(g).segno)
	if !ok {
		x.mu.Unlock()
		return &RemovedError{Segment: s.Name(g)}
	}
	o, err := x.acquire(k)
	x.mu.Unlock()
	if err != nil {
		return err
	}
	defer x.release(o)
	return s.verify(o)
}

// Import reads segment g from r and puts it in the place of a damaged or missing one. When it returns nil the segment
// is durable under its name. The bytes must be those of this system and timeline page by page. They must hash to the
// stored digest of the segment. If that is gone, their records must be whole and join those of the neighbours. One
// import runs at a time: others wait.
//
// Errors: *[PageError], *[DivergedError], *[DamagedError] when records don't join, io.ErrUnexpectedEOF when r ends
// early, those of r and of the disk. After an error nothing has changed.
func (s *Store) Import(g Segment, r io.Reader) error {
	if err := s.Err(); err != nil {
		return err
	}
	if now, ok := s.SegmentOf(g.Start); !ok || now != g {
		return fmt.Errorf("import WAL: %w: segment %s is not wanted", ErrTimeline, s.Name(g))
	}
	s.importing.Lock()
	defer s.importing.Unlock()
	temp := s.walPath(s.Name(g) + importSuffix)
	sum, err := s.stageFile(temp, g, r)
	if err == nil {
		err = s.replace(temp, g, sum)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("import WAL segment %s: %w", s.Name(g), err),
			s.segs.remove(filepath.Base(temp)))
	}
	return nil
}

// stageFile makes the durable, verified file that replace puts in place, of the bytes of r. After an error a part of it
// may be there. Errors are those of [Store.Import].
func (s *Store) stageFile(temp string, g Segment, r io.Reader) (sum uint64, err error) {
	f, err := s.fs.Create(temp)
	if err != nil {
		return 0, noSpace(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Allocate(int64(s.segs.size)); err != nil {
		return 0, noSpace(err)
	}
	sum, sent, err := s.receive(f, g, r)
	if err != nil {
		return 0, err
	}
	if want, ok := s.digestOf(g); !ok {
		err = s.joins(f, g)
	} else if want.Sum != sum && want.Sum != sent { // an older release kept what was sent behind an XLOG_SWITCH
		err = fmt.Errorf("%w: its digest is %016x, that of the WAL stored before is %016x",
			&DivergedError{Timeline: g.Timeline, LSN: g.Start}, sum, want.Sum)
	}
	if err != nil {
		return 0, err
	}
	return sum, f.Sync()
}

// receive writes [g.Start, g.End) from r to f and checks each page; what lies behind an XLOG_SWITCH becomes zeros
// (ruling R37). sum is the hash of what was written, sent that of what came.
func (s *Store) receive(f vfs.File, g Segment, r io.Reader) (sum, sent uint64, err error) {
	check := walformat.Checker{Source: s.identity.Load().source()}
	framer, err := s.framerBefore(g.Start)
	if err != nil {
		return 0, 0, err
	}
	h, raw := xxhash.New(), xxhash.New()
	buf := make([]byte, hashBuffer)
	for at := g.Start; at < g.End; {
		part := buf[:min(lsn.LSN(len(buf)), g.End-at)]
		if _, err := io.ReadFull(r, part); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, 0, fmt.Errorf("read WAL at %s: %w", at, err)
		}
		_, _ = raw.Write(part)
		next := at
		for page := range slices.Chunk(part, lsn.PageSize) {
			if len(page) < walformat.LongHeaderLen {
				break // the end of a part of a segment, inside a header
			}
			if !framer.Switched() {
				if err := check.Page(next, g.Timeline, page); err != nil {
					return 0, 0, err
				}
			}
			clear(page[framer.Take(next, page):])
			next += lsn.PageSize
		}
		if _, err := f.WriteAt(part, s.segs.size.Offset(at)); err != nil {
			return 0, 0, noSpace(err)
		}
		_, _ = h.Write(part)
		at += lsn.LSN(len(part))
	}
	return h.Sum64(), raw.Sum64(), nil
}

// framerBefore gives a Framer for the segment at at: one that knows the record before it, if that is stored.
func (s *Store) framerBefore(at lsn.LSN) (walformat.Framer, error) {
	h, pos, _ := s.readState()
	if at <= pos.Oldest || at > pos.Received || !s.has(h, at-1) {
		return s.newFramer(), nil
	}
	f, err := s.frameAt(at)
	if err != nil || f.Lost() {
		return s.newFramer(), nil // damaged too
	}
	return f, nil
}

// digestOf reads the digest of g as the store once had it; false: there is none that can be read.
func (s *Store) digestOf(g Segment) (digest, bool) {
	raw, err := vfs.ReadFile(s.fs, s.walPath(s.Name(g)+digestSuffix), digestLen)
	if err != nil {
		return digest{}, false
	}
	d, err := decodeDigest(raw)
	return d, err == nil && d.Start == g.Start && d.Length == uint64(s.segs.size)
}

// joins walks the records of the staged file f. It begins in the last page of the segment before g, if that is stored,
// and goes on into the segment behind g, as far as that is stored.
func (s *Store) joins(f vfs.File, g Segment) error {
	h, pos, _ := s.readState()
	stored := &pages{s: s, h: h}
	defer stored.close()
	staged := filePages(f, g.Start)
	w := s.walker(h.Timeline)
	w.Limit = g.End
	w.Pages = func(at lsn.LSN) ([]byte, error) {
		if at >= g.Start && at < g.End {
			return staged(at)
		}
		return stored.page(at)
	}
	if pos.Flushed > g.End && s.has(h, g.End) {
		w.Limit = pos.Flushed
	}
	placed := false
	if s.has(h, g.Start-1) {
		_, err := w.Start(g.Start - lsn.PageSize)
		placed = err == nil
	}
	var err error
	if !placed { // nothing is before it, or zeros are
		_, err = w.Start(g.Start)
	}
	for err == nil && w.Pos() <= g.End {
		_, err = w.Next()
	}
	if err == nil || isShort(err) {
		return nil
	}
	if damaged := s.damage(h, g.Start, err); damaged != nil {
		return damaged
	}
	return err
}

// has reports whether a file holds pos.
func (s *Store) has(h lsn.History, pos lsn.LSN) bool {
	x := s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.find(h, h.TimelineOf(pos), x.size.Segno(pos))
	return ok
}

// replace gives the staged file its name and lets readers find it. Removal of segments waits.
func (s *Store) replace(temp string, g Segment, sum uint64) error {
	s.stages.housekeeping.Lock()
	defer s.stages.housekeeping.Unlock()
	x, k := s.segs, s.keyOf(g)
	if err := s.fs.Rename(temp, x.path(x.name(k))); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.walDir); err != nil {
		return err
	}
	s.mu.Lock()
	h, flushed := s.history, s.pos.Flushed
	s.mu.Unlock()
	x.mu.Lock()
	x.renewed(k, g.Start, time.Now())
	oldest := x.oldest(h, flushed)
	x.mu.Unlock()
	s.mu.Lock()
	s.pos.Oldest = min(s.pos.Oldest, oldest)
	s.mu.Unlock()
	d := digest{Start: g.Start, Length: uint64(x.size), Sum: sum}
	if err := vfs.WriteFile(s.fs, x.path(x.name(k)+digestSuffix), d.append(nil)); err != nil {
		// The segment is there and verified; without a digest its records are walked.
		s.log.Warn("fetched segment left without digest", "segment", x.name(k), "err", err)
	}
	return nil
}

// renewed makes readers open k's file anew and keeps the segment for importGrace. x.mu is held.
func (x *segments) renewed(k segKey, at lsn.LSN, now time.Time) {
	x.have[k] = true
	x.reopen(k)
	if x.imported == lsn.Invalid || at < x.imported || now.After(x.importedUntil) {
		x.imported = at
	}
	x.importedUntil = now.Add(importGrace)
}
