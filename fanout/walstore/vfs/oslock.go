package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/internal/datadir"
)

// osLock is a file and the directory that it is in. The directory can't be removed while it is used, as a file can by
// whoever tidies up; release v0.1.0 looks at the file alone.
type osLock struct {
	name      string
	dir, file *os.File // dir is open without a lock where its file system has none for directories
}

// Lock implements [FS] by flock(2): the kernel lets go when the process ends, however it ends. The
// file holds the owner's pid for whoever is refused.
func (OS) Lock(name string) (Lock, error) {
	l := &osLock{name: name}
	var err error
	if l.dir, err = os.Open(filepath.Dir(name)); err != nil {
		return nil, err
	}
	if err := flock(l.dir); errors.Is(err, unix.EWOULDBLOCK) { // NFS wants a file that is open for writing
		return nil, errors.Join(held(name), l.Close())
	}
	if l.file, err = lockFile(name); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Keep implements [Lock].
func (l *osLock) Keep() error {
	have, err := l.file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(l.name)
	if err == nil && os.SameFile(have, now) {
		return nil
	}
	if dir := filepath.Dir(l.name); l.moved(dir) {
		return &os.PathError{Op: "keep the lock of", Path: dir, Err: ErrMoved}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := lockFile(l.name)
	if err != nil {
		return err
	}
	l.file, f = f, l.file
	return f.Close()
}

// moved reports whether dir surely is another directory than the one that is locked, or none.
func (l *osLock) moved(dir string) bool {
	have, err := l.dir.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
	}
	return !os.SameFile(have, now)
}

// Close implements [Lock].
func (l *osLock) Close() error {
	var errs []error
	for _, f := range []*os.File{l.file, l.dir} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// lockFile takes name, made when missing, and writes this process's pid into it. It does not wait: a *[HeldError] names
// who has it. Closing the file gives the lock back.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|datadir.NoFollow, fileMode)
	if err != nil {
		return nil, err
	}
	if err = flock(f); errors.Is(err, unix.EWOULDBLOCK) {
		err = held(name)
	} else if err != nil {
		err = &os.PathError{Op: "flock", Path: name, Err: err}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// held reads from a lock's file which process has it.
func held(name string) *HeldError {
	pid := 0
	if text, err := os.ReadFile(name); err == nil {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	return &HeldError{Name: filepath.Clean(name), PID: pid}
}
