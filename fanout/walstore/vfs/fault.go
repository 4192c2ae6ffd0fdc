package vfs

import (
	"errors"
	"sync/atomic"
)

// Op names a call that can fail.
type Op string

// The calls that a [Fault] asks about.
const (
	OpOpen     Op = "open"
	OpCreate   Op = "create"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpReadDir  Op = "readdir"
	OpMkdir    Op = "mkdir"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpAllocate Op = "allocate"
)

// ErrLie, returned by a hook, makes a call that changes something succeed without doing anything.
var ErrLie = errors.New("nothing was done")

// Hook is asked before each call, with the name of the file. What it returns is the call's error;
// a call that blocks in it is a disk that stalls. It may be called concurrently.
type Hook func(op Op, name string) error

// Fault is a file system that fails where its hook says so. The zero hook lets everything pass.
type Fault struct {
	FS
	hook atomic.Pointer[Hook]
}

// NewFault wraps inner.
func NewFault(inner FS) *Fault { return &Fault{FS: inner} }

// Set replaces the hook; nil takes it away.
func (f *Fault) Set(h Hook) {
	if h == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&h)
}

func (f *Fault) ask(op Op, name string) error {
	if h := f.hook.Load(); h != nil {
		if err := (*h)(op, name); err != nil {
			return pathError(string(op), name, err)
		}
	}
	return nil
}

func unlessLie(err error) error {
	if errors.Is(err, ErrLie) {
		return nil
	}
	return err
}

func (f *Fault) file(op Op, name string, open func(string) (File, error)) (File, error) {
	if err := f.ask(op, name); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: inner, fault: f, name: name}, nil
}

// Open implements [FS].
func (f *Fault) Open(name string) (File, error) { return f.file(OpOpen, name, f.FS.Open) }

// OpenWrite implements [FS].
func (f *Fault) OpenWrite(name string) (File, error) { return f.file(OpOpen, name, f.FS.OpenWrite) }

// Create implements [FS].
func (f *Fault) Create(name string) (File, error) { return f.file(OpCreate, name, f.FS.Create) }

// Rename implements [FS].
func (f *Fault) Rename(from, to string) error {
	if err := f.ask(OpRename, to); err != nil {
		return unlessLie(err)
	}
	return f.FS.Rename(from, to)
}

// Remove implements [FS].
func (f *Fault) Remove(name string) error {
	if err := f.ask(OpRemove, name); err != nil {
		return unlessLie(err)
	}
	return f.FS.Remove(name)
}

// ReadDir implements [FS].
func (f *Fault) ReadDir(dir string) ([]string, error) {
	if err := f.ask(OpReadDir, dir); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(dir)
}

// MkdirAll implements [FS].
func (f *Fault) MkdirAll(dir string) error {
	if err := f.ask(OpMkdir, dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

// SyncDir implements [FS].
func (f *Fault) SyncDir(dir string) error {
	if err := f.ask(OpSyncDir, dir); err != nil {
		return unlessLie(err)
	}
	return f.FS.SyncDir(dir)
}

// Lock implements [FS].
func (f *Fault) Lock(name string) (Lock, error) {
	if err := f.ask(OpLock, name); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

type faultFile struct {
	File
	fault *Fault
	name  string
}

// ReadAt implements [File].
func (f *faultFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fault.ask(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

// WriteAt implements [File].
func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fault.ask(OpWrite, f.name); errors.Is(err, ErrLie) {
		return len(b), nil
	} else if err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

// Sync implements [File].
func (f *faultFile) Sync() error {
	if err := f.fault.ask(OpSync, f.name); err != nil {
		return unlessLie(err)
	}
	return f.File.Sync()
}

// Allocate implements [File].
func (f *faultFile) Allocate(size int64) error {
	if err := f.fault.ask(OpAllocate, f.name); err != nil {
		return unlessLie(err)
	}
	return f.File.Allocate(size)
}
