package walstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const walDirName = "wal"

// segments knows which segment files exist, who reads them, and which spare files are ready. Make it with newSegments.
type segments struct {
	fs   FS
	dir  string // Dir/wal
	size lsn.SegSize

	mu        sync.Mutex
	have      map[segKey]bool
	unread    map[segKey]bool // of have, those whose file nobody can have in a socket, see unlist
	open      map[segKey]*openFile
	verified  map[segKey]time.Time // see verified.go
	imported  lsn.LSN              // the lowest of late, see import.go; kept until importedUntil
	idle      []*openFile          // of open, those without a reader, longest idle first
	closed    bool
	readers   map[*Reader]struct{}
	spares    []string
	spareLast uint64 // number of the last spare name given out

	importedUntil time.Time
}

func newSegments(fs FS, dir string, size lsn.SegSize) *segments {
	return &segments{
		fs: fs, dir: dir, size: size,
		have:     make(map[segKey]bool),
		unread:   make(map[segKey]bool),
		open:     make(map[segKey]*openFile),
		verified: make(map[segKey]time.Time),
		readers:  make(map[*Reader]struct{}),
	}
}

func (x *segments) name(k segKey) string { return x.size.FileName(k.tli, k.segno) }

// lists reports whether segment k has a file, as far as is known here.
func (x *segments) lists(k segKey) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.have[k]
}

func (x *segments) path(name string) string { return filepath.Join(x.dir, name) }

// find returns the file that holds segment segno as timeline t saw it. That is t's own, or the file of the newest later
// timeline of the history, which begins as a copy of t's up to the switch (facts H3). false: none is stored. x.mu is
// held.
func (x *segments) find(h lsn.History, t lsn.TimelineID, segno uint64) (segKey, bool) {
	if k := (segKey{h.Timeline, segno}); h.Timeline >= t && x.have[k] {
		return k, true
	}
	for i := len(h.Parents) - 1; i >= 0 && h.Parents[i].Timeline >= t; i-- {
		if k := (segKey{h.Parents[i].Timeline, segno}); x.have[k] {
			return k, true
		}
	}
	return segKey{}, false
}

// oldest walks back from the segment of end, on the current timeline, to where the first hole is.
// x.mu is held.
func (x *segments) oldest(h lsn.History, end lsn.LSN) lsn.LSN {
	at := x.size.Floor(end)
	for at > 0 {
		before := at - 1
		if _, ok := x.find(h, h.TimelineOf(before), x.size.Segno(before)); !ok {
			break
		}
		at = x.size.Floor(before)
	}
	if _, ok := x.find(h, h.TimelineOf(end), x.size.Segno(end)); !ok && at == x.size.Floor(end) {
		return end
	}
	return at
}

func (x *segments) add(k segKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.have[k] = true
}

// create puts a file of the right size under k's name and opens it. It takes a spare one when there is one, otherwise
// it makes a new one that reads as zeros. The name is not durable yet.
func (x *segments) create(k segKey) (vfs.File, error) {
	path := x.path(x.name(k))
	x.mu.Lock()
	x.unread[k] = true
	x.reopen(k) // a start may have read what was there
	x.mu.Unlock()
	spare, ok := x.takeSpare()
	if !ok {
		return x.createCold(path)
	}
	if err := x.fs.Rename(x.path(spare), path); errors.Is(err, fs.ErrNotExist) {
		return x.createCold(path) // somebody has removed it
	} else if err != nil {
		return nil, fmt.Errorf("name segment: %w", err)
	}
	f, err := x.fs.OpenWrite(path)
	if err != nil {
		// It may be opened later: until then there is no segment of that name.
		if back := x.fs.Rename(path, x.path(spare)); back == nil {
			x.addSpare(spare)
		}
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return f, nil
}

func (x *segments) createCold(path string) (vfs.File, error) {
	f, err := x.fs.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := f.Allocate(int64(x.size)); err != nil {
		return nil, errors.Join(fmt.Errorf("allocate segment: %w", err), f.Close(), x.fs.Remove(path))
	}
	return f, nil
}

// remove deletes a file that may be gone already. The name is durably gone after a sync of the directory.
func (x *segments) remove(name string) error {
	if err := x.fs.Remove(x.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
