package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

// openFile is a segment file that all its readers share: one descriptor, verified for all of them.
type openFile struct {
	key  segKey
	f    vfs.File
	refs int // guarded by segments.mu

	mu     sync.Mutex // held while verifying: the others wait for the result
	damage error      // once found, of this file for good
}

// maxIdle bounds the open files without a reader. A standby that goes back and forth between the tail and the disk
// finds its segment still open.
const maxIdle = 8

// acquire opens k or takes another reference; give it back by release. A missing file is a *[DamagedError]. x.mu is
// held.
func (x *segments) acquire(k segKey) (*openFile, error) {
	if o := x.open[k]; o != nil {
		if o.refs == 0 {
			x.idle = slices.DeleteFunc(x.idle, func(i *openFile) bool { return i == o })
		}
		o.refs++
		return o, nil
	}
	f, err := x.fs.Open(x.path(x.name(k)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, x.missing(k)
	}
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	o := &openFile{key: k, f: f, refs: 1}
	x.open[k] = o
	return o, nil
}

// release gives back a reference; nil is none.
func (x *segments) release(o *openFile) {
	if o == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if o.refs--; o.refs > 0 {
		return
	}
	if x.closed || !x.have[o.key] || x.open[o.key] != o {
		x.forget(o)
		return
	}
	x.idle = append(x.idle, o)
	if len(x.idle) > maxIdle {
		x.forget(x.idle[0])
		x.idle = slices.Delete(x.idle, 0, 1)
	}
}

// forget closes a file that nobody refers to. x.mu is held.
func (x *segments) forget(o *openFile) {
	if x.open[o.key] == o {
		delete(x.open, o.key)
	}
	_ = o.f.Close() // only ever read
}

// reopen makes whoever reads k from now on open its file anew, and verify it. x.mu is held.
func (x *segments) reopen(k segKey) {
	delete(x.verified, k)
	o := x.open[k]
	if o == nil {
		return
	}
	x.idle = slices.DeleteFunc(x.idle, func(i *openFile) bool { return i == o })
	delete(x.open, k)
	if o.refs == 0 {
		x.forget(o)
	}
}

// closeIdle closes the files that nobody reads and that keep lets go; from then on, when the store
// is closed, none stays open without a reader. x.mu is held.
func (x *segments) closeIdle(keep func(segKey) bool) {
	x.idle = slices.DeleteFunc(x.idle, func(o *openFile) bool {
		if keep(o.key) {
			return false
		}
		x.forget(o)
		return true
	})
	for k := range x.verified {
		if !keep(k) {
			delete(x.verified, k)
		}
	}
}

// closeUnused closes every file that nobody reads.
func (x *segments) closeUnused() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closeIdle(func(segKey) bool { return false })
}

// verify checks a sealed segment against its digest, unless that was done lately. A segment that has
// no readable digest (a crash came before it was written) is walked record by record instead.
func (s *Store) verify(o *openFile) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.damage == nil && !s.segs.verifiedLately(o.key, now) {
		if o.damage = s.verifyFile(o); o.damage == nil {
			s.segs.noteVerified(o, now)
		}
	}
	return o.damage
}

func (s *Store) verifyFile(o *openFile) error {
	x := s.segs
	name := x.name(o.key)
	start := x.size.Start(o.key.segno)
	raw, err := vfs.ReadFile(s.fs, x.path(name+digestSuffix), digestLen)
	want, derr := decodeDigest(raw)
	if err != nil || derr != nil {
		return s.verifyRecords(o)
	}
	if want.Start != start || want.Length != uint64(x.size) {
		return &DamagedError{File: name + digestSuffix, LSN: start, Reason: "the digest is of another segment"}
	}
	h := xxhash.New()
	if err := hashFile(h, o.f, int64(x.size)); err != nil {
		return &DamagedError{File: name, LSN: start, Reason: err.Error()}
	}
	if got := h.Sum64(); got != want.Sum {
		return &DamagedError{File: name, LSN: start,
			Reason: fmt.Sprintf("its digest is %016x, expected %016x", got, want.Sum)}
	}
	return nil
}

// verifyRecords walks a complete segment: every record that begins in it and ends in it, and the
// page headers up to the end.
func (s *Store) verifyRecords(o *openFile) error {
	x := s.segs
	start := x.size.Start(o.key.segno)
	end := start + s.segLen()
	w := s.walker(o.key.tli)
	w.Limit = end
	w.Pages = filePages(o.f, start)
	_, err := w.Start(start)
	for err == nil && w.Pos() < end {
		_, err = w.Next()
	}
	if err == nil || isShort(err) {
		return nil
	}
	return &DamagedError{File: x.name(o.key), LSN: w.Pos(), Reason: err.Error()}
}
