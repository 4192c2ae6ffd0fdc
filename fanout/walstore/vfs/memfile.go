package vfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// A crash tears at sectors, what was never written reads as zero, and memory is held in pages.
const (
	sectorSize  = 512
	memPageSize = 4096
)

type memPage [memPageSize]byte

// content is the bytes of a file: as a process sees them and as they are on the disk. A page that
// both share is never changed, it is replaced by a copy.
type content struct {
	size, stableSize int64
	pages, stable    map[int64]*memPage
	dirty            map[int64]struct{} // pages in which the two may differ
}

func (c *content) readAt(b []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), c.size-off))
	for done := 0; done < n; {
		i, at := off/memPageSize, off%memPageSize
		part := b[done:min(n, done+int(memPageSize-at))]
		if p := c.pages[i]; p != nil {
			copy(part, p[at:])
		} else {
			clear(part)
		}
		done += len(part)
		off += int64(len(part))
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (c *content) writeAt(b []byte, off int64) {
	if c.pages == nil {
		c.pages, c.stable, c.dirty = map[int64]*memPage{}, map[int64]*memPage{}, map[int64]struct{}{}
	}
	c.size = max(c.size, off+int64(len(b)))
	for len(b) > 0 {
		i, at := off/memPageSize, off%memPageSize
		part := b[:min(len(b), int(memPageSize-at))]
		c.writePage(i, int(at), part)
		b = b[len(part):]
		off += int64(len(part))
	}
}

func (c *content) writePage(i int64, at int, b []byte) {
	p := c.pages[i]
	if p == nil && c.stable[i] == nil && isZeros(b) {
		return
	}
	if p == nil || p == c.stable[i] {
		next := &memPage{}
		if p != nil {
			*next = *p
		}
		p = next
		c.pages[i] = p
	}
	c.dirty[i] = struct{}{}
	copy(p[at:], b)
}

func isZeros(b []byte) bool {
	var zeros memPage
	return bytes.Equal(b, zeros[:len(b)])
}

func (c *content) truncate() {
	c.size = 0
	for i := range c.pages {
		c.dirty[i] = struct{}{}
	}
	clear(c.pages)
}

func (c *content) sync() {
	c.stableSize = c.size
	for i := range c.dirty {
		if p := c.pages[i]; p != nil {
			c.stable[i] = p
		} else {
			delete(c.stable, i)
		}
	}
	clear(c.dirty)
}

// lose forgets which pages are dirty, as a kernel does when writing back fails: only memory has them then.
func (c *content) lose() { clear(c.dirty) }

// afterCrash returns the content of the disk: the stable bytes, and each sector written since with even odds. With a
// nil rnd no sector written since is there.
func (c *content) afterCrash(rnd *rand.Rand) content {
	size := c.stableSize
	if rnd != nil && rnd.IntN(2) == 0 {
		size = c.size
	}
	stable := maps.Clone(c.stable)
	if rnd != nil {
		for _, i := range slices.Sorted(maps.Keys(c.dirty)) {
			stable[i] = mixSectors(c.stable[i], c.pages[i], rnd)
		}
	}
	if stable == nil {
		stable = map[int64]*memPage{}
	}
	return content{size: size, stableSize: size, pages: maps.Clone(stable), stable: stable, dirty: map[int64]struct{}{}}
}

func mixSectors(old, next *memPage, rnd *rand.Rand) *memPage {
	out := &memPage{}
	if old != nil {
		*out = *old
	}
	if next == nil {
		return out
	}
	// All, none or some: a page often goes to the disk in one piece.
	some := rnd.IntN(3)
	for at := 0; at < memPageSize; at += sectorSize {
		if some == 0 || some == 1 && rnd.IntN(2) == 0 {
			copy(out[at:at+sectorSize], next[at:])
		}
	}
	return out
}

// memFile is an open file of a Mem.
type memFile struct {
	m        *Mem
	node     *inode
	name     string
	writable bool
	closed   bool
}

func (f *memFile) usable(op string) error {
	switch {
	case f.m.dead:
		return pathError(op, f.name, errDead)
	case f.closed:
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

// ReadAt implements [File].
func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	return f.node.readAt(b, off)
}

// WriteAt implements [File].
func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	if !f.writable {
		return 0, pathError("write", f.name, fmt.Errorf("opened for reading: %w", fs.ErrPermission))
	}
	f.node.writeAt(b, off)
	return len(b), nil
}

// Sync implements [File].
func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("sync"); err != nil {
		return err
	}
	f.node.sync()
	return nil
}

// CheckName implements [File].
func (f *memFile) CheckName() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("stat"); err != nil {
		return err
	}
	if f.m.names[filepath.Clean(f.name)] != f.node {
		return &GoneError{Name: f.name}
	}
	return nil
}

// Size implements [File].
func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.node.size, f.usable("stat")
}

// Allocate implements [File].
func (f *memFile) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("allocate"); err != nil {
		return err
	}
	f.node.size = max(f.node.size, size)
	return nil
}

// Close implements [File].
func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}

// Life implements [FS].
func (m *Mem) Life(string) string { return fmt.Sprint("boot ", m.crashes) }
