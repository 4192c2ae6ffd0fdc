package vfs

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Mem is a file system in memory that can crash. [Mem.Kill] is the end of the process: everything written stays.
// [Mem.Crash] is power loss. Synced bytes stay; the others stay in part, torn at sectors. Of the names changed since
// the last SyncDir a prefix in order stays, as in a journal. Both return the file system that the next process finds.
// The old one and its files refuse everything from then on. Safe for concurrent use. Make it with [NewMem].
type Mem struct {
	mu      sync.Mutex
	dead    bool
	names   map[string]*inode // what a process sees
	durable map[string]*inode // what a crash leaves at least
	pending []change          // between the two, oldest first
	locks   map[string]bool
	crashes int // power losses so far
}

// inode is a file (or a directory, with no content).
type inode struct {
	dir bool
	content
}

// change is a change of names that is not durable yet: from vanishes, to appears.
type change struct {
	from, to string // "" for none
	node     *inode
}

func (c change) touches(dir string) bool {
	return c.from != "" && filepath.Dir(c.from) == dir || c.to != "" && filepath.Dir(c.to) == dir
}

func (c change) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// errDead is returned to a process that lives on in a test after its crash.
var errDead = fmt.Errorf("this file system has crashed: %w", fs.ErrClosed)

// NewMem makes an empty file system; its root directories "/" and "." exist.
func NewMem() *Mem {
	m := &Mem{names: map[string]*inode{}, durable: map[string]*inode{}, locks: map[string]bool{}}
	for _, root := range []string{"/", "."} {
		n := &inode{dir: true}
		m.names[root], m.durable[root] = n, n
	}
	return m
}

// Kill ends the process and gives the file system as the next one finds it.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &Mem{
		names: m.names, durable: m.durable, pending: m.pending, locks: map[string]bool{}, crashes: m.crashes,
	}
}

// Crash cuts the power. rnd decides what survives of that which was not synced; nil: nothing does.
func (m *Mem) Crash(rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	kept := maps.Clone(m.durable)
	if rnd != nil {
		for _, c := range m.pending[:rnd.IntN(len(m.pending)+1)] {
			c.apply(kept)
		}
	}
	next := &Mem{
		names: map[string]*inode{}, durable: map[string]*inode{}, locks: map[string]bool{}, crashes: m.crashes + 1,
	}
	for _, path := range slices.Sorted(maps.Keys(kept)) { // sorted: the dice must fall alike
		if parent := next.names[filepath.Dir(path)]; path != "/" && path != "." && parent == nil {
			continue // its directory was not durable
		}
		old := kept[path]
		n := &inode{dir: old.dir, content: old.afterCrash(rnd)}
		next.names[path], next.durable[path] = n, n
	}
	return next
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (m *Mem) lookup(op, name string) (*inode, error) {
	if m.dead {
		return nil, pathError(op, name, errDead)
	}
	if n := m.names[filepath.Clean(name)]; n != nil {
		return n, nil
	}
	return nil, pathError(op, name, fs.ErrNotExist)
}

// change performs a change of names. m.mu is held.
func (m *Mem) change(c change) {
	c.apply(m.names)
	m.pending = append(m.pending, c)
}

func (m *Mem) openFile(op, name string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(op, name)
	if err != nil {
		return nil, err
	}
	return &memFile{m: m, node: n, name: name, writable: writable}, nil
}

// Open implements [FS].
func (m *Mem) Open(name string) (File, error) { return m.openFile("open", name, false) }

// OpenWrite implements [FS].
func (m *Mem) OpenWrite(name string) (File, error) { return m.openFile("open", name, true) }

// Create implements [FS].
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if _, err := m.lookup("create", filepath.Dir(name)); err != nil {
		return nil, err
	}
	n := m.names[name]
	if n == nil {
		n = &inode{}
		m.change(change{to: name, node: n})
	} else {
		n.truncate()
	}
	return &memFile{m: m, node: n, name: name, writable: true}, nil
}

// Rename implements [FS].
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup("rename", from)
	if err != nil {
		return err
	}
	if _, err := m.lookup("rename", filepath.Dir(to)); err != nil {
		return err
	}
	if n.dir {
		return pathError("rename", from, fmt.Errorf("directories can't be renamed here"))
	}
	m.change(change{from: filepath.Clean(from), to: filepath.Clean(to), node: n})
	return nil
}

// Remove implements [FS].
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup("remove", name)
	if err != nil {
		return err
	}
	name = filepath.Clean(name)
	if n.dir && len(m.list(name)) > 0 {
		return pathError("remove", name, fmt.Errorf("directory not empty"))
	}
	m.change(change{from: name, node: n})
	return nil
}

func (m *Mem) list(dir string) []string {
	var names []string
	for path := range m.names {
		if filepath.Dir(path) == dir && path != dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names
}

// ReadDir implements [FS].
func (m *Mem) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.lookup("readdir", dir); err != nil {
		return nil, err
	}
	return m.list(filepath.Clean(dir)), nil
}

// MkdirAll implements [FS].
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return pathError("mkdir", dir, errDead)
	}
	dir = filepath.Clean(dir)
	var missing []string
	for d := dir; m.names[d] == nil; d = filepath.Dir(d) {
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		m.change(change{to: d, node: &inode{dir: true}})
	}
	return nil
}

// SyncDir implements [FS].
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.lookup("syncdir", dir); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	var rest []change
	for _, c := range m.pending {
		if c.touches(dir) {
			c.apply(m.durable)
		} else {
			rest = append(rest, c)
		}
	}
	m.pending = rest
	return nil
}

// Lock implements [FS]. The holder is always this process.
func (m *Mem) Lock(name string) (Lock, error) {
	f, err := m.Create(name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.locks[name] {
		return nil, &HeldError{Name: name, PID: 1}
	}
	m.locks[name] = true
	return &memLock{File: f, name: name}, nil
}

type memLock struct {
	File
	name string
}

// Keep implements [Lock].
func (l *memLock) Keep() error { return nil }

// Close releases the lock.
func (l *memLock) Close() error {
	m := l.File.(*memFile).m
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.locks, l.name)
	return nil
}

// FailSync makes the fsync of the named file fail, as on a broken disk. The bytes written since the last fsync are in
// memory only, and no later Sync writes them unless they are written again.
func (m *Mem) FailSync(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[filepath.Clean(name)]; n != nil {
		n.lose()
	}
}

// String lists the names and sizes, for the log of a failed test.
func (m *Mem) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(m.names)) {
		fmt.Fprintf(&b, "%s %d\n", path, m.names[path].size)
	}
	return b.String()
}
