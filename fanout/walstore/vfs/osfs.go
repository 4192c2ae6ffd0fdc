package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/replproxy/replproxy/internal/durable"
	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/internal/datadir"
)

// Modes of new files and folders: WAL holds the data of the whole cluster, so only the owner reads it.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the operating system's file system.
type OS struct{}

// OSFile is a file of the operating system. The *os.File inside serves sendfile(2) with an explicit
// offset: the file is shared, and its own offset says nothing, as Size moves it.
type OSFile struct{ *os.File }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return &OSFile{f}, nil
}

// Open implements [FS].
func (OS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }

// OpenWrite implements [FS].
func (OS) OpenWrite(name string) (File, error) { return openOS(name, os.O_RDWR|datadir.NoFollow) }

// Create implements [FS].
func (OS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|datadir.NoFollow)
}

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll implements [FS].
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

// ReadDir implements [FS].
func (OS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// SyncDir implements [FS].
func (OS) SyncDir(dir string) error { return durable.OS{}.SyncDir(dir) }

// Sync implements [File] by fdatasync(2).
func (f *OSFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// CheckName implements [File]. An error that does not say so proves nothing: the next sync tells.
func (f *OSFile) CheckName() error {
	have, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(f.Name())
	if err == nil && os.SameFile(have, now) {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return &GoneError{Name: f.Name()}
	}
	return nil
}

// Size implements [File]. It asks by lseek(2), which costs half of what Stat does and allocates nothing.
func (f *OSFile) Size() (int64, error) { return f.Seek(0, io.SeekEnd) }

// Allocate implements [File]. A file system without fallocate(2) gets a hole instead.
func (f *OSFile) Allocate(size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP, unix.ENOSYS:
			have, err := f.Size()
			if err != nil || have >= size {
				return err
			}
			return f.Truncate(size)
		}
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
}
