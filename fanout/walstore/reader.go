package walstore

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Chunk is consecutive WAL [Start, End), in memory or in one file.
//
// In memory it is Mem[0] then Mem[1], the second empty unless the chunk lies in two blocks. The bytes never change, and
// stay as long as they are referenced.
//
// In a file it is Len bytes from FileOffset, all in one segment. Other readers share File, and it is valid until the
// next call on the Reader. Use ReadAt therefore, or sendfile with an explicit offset on [Chunk.OSFile].
type Chunk struct {
	Start, End lsn.LSN
	Mem        [2][]byte
	File       vfs.File
	FileOffset int64
	rewritable bool // see OSFile
}

// Len returns the number of bytes; 0 means that the reader is at its limit.
func (c *Chunk) Len() int { return int(c.End - c.Start) }

// OSFile returns the operating system's file behind File, from which sendfile may take the chunk; false for a chunk in
// memory and for other file systems. A chunk that reaches beyond the last complete record is to be copied, so it is
// false too. The file is written over there when the primary gives that record up, also after kill -9. The pages that
// sendfile took may still be in a socket then.
func (c *Chunk) OSFile() (*os.File, bool) {
	if f, ok := c.File.(*vfs.OSFile); ok && !c.rewritable {
		return f.File, true
	}
	return nil, false
}

// Bytes copies the chunk into b, which must have room for Len bytes, and gives what it filled.
func (c *Chunk) Bytes(b []byte) ([]byte, error) {
	if c.File == nil {
		n := copy(b, c.Mem[0])
		return b[:n+copy(b[n:], c.Mem[1])], nil
	}
	n, err := c.File.ReadAt(b[:c.Len()], c.FileOffset)
	if n == c.Len() {
		err = nil
	}
	return b[:n], err
}

// Reader is one consumer's cursor. WAL from the start of its last chunk on is not removed until the
// Reader moved on or was closed. One goroutine at a time.
type Reader struct {
	s      *Store
	tli    lsn.TimelineID
	pos    lsn.LSN
	hold   atomic.Uint64 // where the last chunk began: only this is shared, with retention
	file   *openFile
	opened time.Time // when the reader came to file
	asked  bool      // the segment behind file has been thought of, see ahead.go
	own    bool      // the store's: what is held back is read all the same
}

// NewReader makes a reader of timeline tli, the current one or an ancestor, that begins at at. A position ahead of the
// received end is allowed: Next gives nothing until it is reached.
//
// Errors:
//
//   - *[RemovedError] when the segment of at is not stored
//   - *[TimelineError] when tli is not in the history of the current timeline, or was left before at
//   - [ErrNotAdopted] for an empty store
func (s *Store) NewReader(tli lsn.TimelineID, at lsn.LSN) (*Reader, error) {
	return s.newReader(tli, at, true)
}

// NewPatientReader returns a reader as NewReader does, for a caller that can have a missing segment fetched: the first
// Next reports *[RemovedError] instead, and can be repeated after an Import. What is fetched meanwhile is not removed.
func (s *Store) NewPatientReader(tli lsn.TimelineID, at lsn.LSN) (*Reader, error) {
	return s.newReader(tli, at, false)
}

func (s *Store) newReader(tli lsn.TimelineID, at lsn.LSN, there bool) (*Reader, error) {
	h, pos, low := s.readState()
	if pos.Timeline == 0 {
		return nil, ErrNotAdopted
	}
	if !h.Contains(tli) {
		return nil, &TimelineError{Timeline: tli, Current: pos.Timeline, Reason: "it is not in the history"}
	}
	if sw, _, historic := h.SwitchPoint(tli); historic && at > sw {
		return nil, &TimelineError{Timeline: pos.Timeline, Current: tli,
			Reason: fmt.Sprintf("timeline %s was left at %s, before the requested %s", tli, sw, at)}
	}
	r := &Reader{s: s, tli: tli, pos: at}
	r.hold.Store(uint64(at))
	x := s.segs
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.find(h, tli, x.size.Segno(at)); there && !ok && at < low {
		return nil, &RemovedError{Segment: x.size.FileName(tli, x.size.Segno(at))}
	}
	x.readers[r] = struct{}{}
	return r, nil
}

// Timeline returns the timeline that the reader reads.
func (r *Reader) Timeline() lsn.TimelineID { return r.tli }

// Pos returns the start of the next chunk.
func (r *Reader) Pos() lsn.LSN { return r.pos }

// Close ends the reader's hold on WAL and its last chunk. It may be called more than once.
func (r *Reader) Close() {
	x := r.s.segs
	x.mu.Lock()
	delete(x.readers, r)
	x.mu.Unlock()
	x.release(r.file)
	r.file = nil
}

// Next returns the WAL that follows, at most maxBytes bytes, or a page if that is more. It stops at the lowest of
// limit, the received end, and the point where the reader's timeline was left. A cut by maxBytes is at a page boundary
// (facts E4). It never waits for WAL; it may wait for the disk. In the tail it costs no allocation.
//
// Errors: *[DamagedError] when the segment fails verification, *[RemovedError], [ErrFailed].
func (r *Reader) Next(limit lsn.LSN, maxBytes int) (Chunk, error) {
	s := r.s
	r.hold.Store(uint64(r.pos))
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return Chunk{}, s.err
	}
	end := min(limit, s.endOf(r.tli))
	if s.held != lsn.Invalid && !r.own {
		end = min(end, s.held)
	}
	if end <= r.pos {
		s.mu.Unlock()
		return Chunk{Start: r.pos, End: r.pos}, nil
	}
	end = cut(r.pos, end, maxBytes)
	if r.pos >= s.tail.low {
		c := Chunk{Start: r.pos}
		c.Mem, c.End = s.tail.slices(r.pos, end)
		s.mu.Unlock()
		r.pos = c.End
		r.dropFile()
		return c, nil
	}
	// What left the tail is written; so is what a file chunk may hold beyond that.
	end = min(end, s.pos.Written)
	h := s.history
	flushed, complete := s.pos.Flushed, s.pos.Complete
	s.mu.Unlock()
	c, err := r.nextFile(h, end, flushed)
	c.rewritable = c.End > complete
	return c, err
}

// cut shortens [at, end) to maxBytes, at a page boundary.
func cut(at, end lsn.LSN, maxBytes int) lsn.LSN {
	n := lsn.LSN(max(maxBytes, lsn.PageSize))
	if end-at > n {
		return (at + n).PageStart()
	}
	return end
}

func (r *Reader) nextFile(h lsn.History, end, flushed lsn.LSN) (Chunk, error) {
	x := r.s.segs
	segno := x.size.Segno(r.pos)
	segEnd := x.size.Start(segno) + r.s.segLen()
	if err := r.useFile(h, segno); err != nil {
		return Chunk{}, err
	}
	if r.s.isSealed(h, r.file.key, flushed) {
		if err := r.s.verify(r.file); err != nil {
			return Chunk{}, err
		}
	}
	if err := r.whole(min(end, segEnd)); err != nil {
		return Chunk{}, err
	}
	c := Chunk{Start: r.pos, End: min(end, segEnd), File: r.file.f, FileOffset: x.size.Offset(r.pos)}
	r.pos = c.End
	r.askAhead(c.Start, h, flushed)
	return c, nil
}

// whole reports damage when the reader's file ends before to, because it was cut since it was verified. A message that
// is sent out of it must not stop in the middle.
func (r *Reader) whole(to lsn.LSN) error {
	x, k := r.s.segs, r.file.key
	size, err := r.file.f.Size()
	if err == nil && x.size.Start(k.segno)+lsn.LSN(size) >= to {
		return nil
	}
	x.mu.Lock()
	delete(x.verified, k)
	x.mu.Unlock()
	return &DamagedError{File: x.name(k), LSN: to, Reason: fmt.Sprintf("it has %d bytes (%v)", size, err)}
}

// isSealed reports whether the segment in file k is complete on disk.
func (s *Store) isSealed(h lsn.History, k segKey, flushed lsn.LSN) bool {
	end := s.segs.size.Start(k.segno) + s.segLen()
	if at, _, historic := h.SwitchPoint(k.tli); historic {
		return end <= at
	}
	return end <= flushed
}

// useFile makes r.file the file of segment segno, and gives the one before back. After an error there is none. A
// segment that is not stored is [ErrRemoved].
func (r *Reader) useFile(h lsn.History, segno uint64) error {
	x := r.s.segs
	x.mu.Lock()
	k, ok := x.find(h, r.tli, segno)
	if ok && r.file != nil && x.open[k] == r.file {
		x.mu.Unlock()
		return nil
	}
	old := r.file
	r.file = nil
	var err error
	if ok {
		r.file, err = x.acquire(k)
		r.opened, r.asked = time.Now(), false
		if !r.own { // the store copies what it reads
			delete(x.unread, k)
		}
	} else {
		err = &RemovedError{Segment: x.size.FileName(r.tli, segno)}
	}
	x.mu.Unlock()
	x.release(old)
	return err
}

func (r *Reader) dropFile() {
	if r.file != nil {
		r.s.segs.release(r.file)
		r.file = nil
	}
}
