package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/internal/datadir"
)

// Modes of new files and folders.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the operating system's file system.
type OS struct{}

// Create makes a new file in place of what is there, a symbolic link included. Somebody who is quicker makes it fail.
func (OS) Create(name string) (*os.File, error) {
	if err := os.Remove(name); removed(err) != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|datadir.NoFollow, fileMode)
}

// Rename gives a file a new name. It replaces a file or a symbolic link of that name.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file or an empty folder. One that is missing is an error (fs.ErrNotExist). It is durable after
// [OS.SyncDir].
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir makes the names in dir durable, not the files' content. It blocks for the disk.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDir makes a directory and what is missing above it, durably. One that is there stays as it is.
func MakeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := MakeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A parent that is not ours to read, such as a mount point, was made durable by whoever made it. The new
	// directory's name in it is as durable as that file system makes it.
	if err := (OS{}).SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// removed returns the error of a removal; nil if there was nothing to remove.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
