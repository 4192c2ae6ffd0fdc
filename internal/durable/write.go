package durable

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// TempSuffix ends the name of a file that is not finished. One that a crash has left is replaced by the next write.
const TempSuffix = ".tmp"

// File is the part of an open file that a write needs.
type File interface {
	io.WriterAt
	io.Closer
	// Sync makes the written bytes durable.
	Sync() error
}

// FS is the part of a file system that a write needs. Its files are F.
type FS[F File] interface {
	// Create makes an empty file that only its owner may read.
	Create(name string) (F, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// WriteFile replaces name by a file with content, durably. It blocks for the disk. Two writes of one name must not
// overlap.
func WriteFile[F File](fs FS[F], name string, content []byte) error {
	return write(fs, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFrom does so with the first size bytes of r. Fewer are an error.
func WriteFrom[F File](fs FS[F], name string, r io.Reader, size int64) error {
	return write(fs, name, func(w io.Writer) error {
		n, err := io.Copy(w, io.LimitReader(r, size))
		if err == nil && n != size {
			err = fmt.Errorf("write %s: %d bytes instead of %d", name, n, size)
		}
		return err
	})
}

func write[F File](fs FS[F], name string, fill func(io.Writer) error) error {
	temp := name + TempSuffix
	err := stage(fs, temp, fill)
	if err == nil {
		err = fs.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, removed(fs.Remove(temp)))
	}
	return fs.SyncDir(filepath.Dir(name))
}

// Stage makes name a file with content whose bytes are durable. Its name is once [FS.SyncDir] of the directory returns:
// who writes many files syncs it once.
func Stage[F File](fs FS[F], name string, content []byte) error {
	return stage(fs, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

func stage[F File](fs FS[F], name string, fill func(io.Writer) error) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	err = fill(io.NewOffsetWriter(f, 0))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
