package vfs

import (
	"errors"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/internal/durable"
)

// FS is a tree of directories and files. Errors wrap io/fs's (fs.ErrNotExist, fs.ErrPermission).
type FS interface {
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Create makes an empty file, or empties an existing one, for reading and writing.
	Create(name string) (File, error)
	// Rename gives a file or a directory a new name, replacing a file that has it.
	Rename(from, to string) error
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// ReadDir lists the names in a directory, sorted.
	ReadDir(dir string) ([]string, error)
	// MkdirAll makes a directory and what is missing above it.
	MkdirAll(dir string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes name, and the directory that it is in, as an exclusive lock for this process, until closed; never
	// waits.
	// A lock that somebody has is a *[HeldError].
	Lock(name string) (Lock, error)
	// Life names the machine's boot and the mount of dir. While it stays the same, what was written there is read
	// again, synced or not. "": it is not known.
	Life(dir string) string
}

// Lock holds a lock of a file until it is closed.
type Lock interface {
	io.Closer
	// Keep makes the lock's file anew when somebody has removed it. When another process has a lock on a file of its
	// name by then, that is a *[HeldError]. When the name's directory is not the one that is locked any more, nothing
	// is made, and the error is [ErrMoved].
	Keep() error
}

// File is an open file. ReadAt may run beside WriteAt and Sync.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the written bytes durable (fdatasync). After an error nothing that was written
	// since the last success may be trusted, even if a later Sync succeeds: the kernel may have
	// dropped the pages.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
	// Allocate reserves space for size bytes and makes the file at least that long; the new bytes
	// read as zero. A full disk shows here instead of in a later write.
	Allocate(size int64) error
	// CheckName fails by a *[GoneError] if the name by which the file was opened surely leads to it no more. What is
	// written to it then is gone once it is closed, synced or not.
	CheckName() error
}

// ErrHeld reports a lock that is taken; the error is a *[HeldError].
var ErrHeld = errors.New("lock is held")

// ErrMoved reports a lock whose directory is not found under its name any more: it was moved, replaced or unmounted.
var ErrMoved = errors.New("the directory was moved away, replaced or unmounted")

// GoneError names a file that is open and not found by its name any more. It is an [ErrMoved].
type GoneError struct{ Name string }

func (e *GoneError) Error() string {
	return e.Name + " was removed, moved away or replaced while it was in use, or its directory was"
}

// Is makes errors.Is(err, ErrMoved) true.
func (e *GoneError) Is(target error) bool { return target == ErrMoved }

// HeldError names the process that has the lock. PID is 0 when it could not be read.
type HeldError struct {
	Name string
	PID  int
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return e.Name + " is held by another process"
	}
	return fmt.Sprintf("%s is held by process %d", e.Name, e.PID)
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// ReadFile reads a whole file of at most limit bytes; a larger one is an error, and so is one that is missing
// (fs.ErrNotExist).
func ReadFile(fs FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, size, limit)
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF && int64(n) == size {
		err = nil
	}
	return b[:n], err
}

// TempSuffix ends the name of a file that WriteFile has not finished.
const TempSuffix = durable.TempSuffix

// WriteFile replaces name by a file with content, durably; see [durable.WriteFile].
func WriteFile(fs FS, name string, content []byte) error {
	return durable.WriteFile[File](fs, name, content)
}
