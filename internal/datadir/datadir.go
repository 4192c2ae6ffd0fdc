package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// NoFollow is the flag of open(2) with which a last name that is a symbolic link is an error.
const NoFollow = unix.O_NOFOLLOW

const (
	// mode is that of a directory that is made.
	mode = fs.FileMode(0o700)
	// foreign are the bits that the directory may not have: 0700 and 0750 are good, as in PostgreSQL.
	foreign = fs.FileMode(0o027)
	// written are the bits that let others than the owner write.
	written = fs.FileMode(0o022)
)

// Error is a data directory that is refused: PostgreSQL's message and detail where it has them, and what to do.
type Error struct{ Message, Detail, Hint string }

// Error is the three in one line.
func (e *Error) Error() string {
	text := e.Message
	if e.Detail != "" {
		text += "; DETAIL: " + e.Detail
	}
	if e.Hint != "" {
		text += "; HINT: " + e.Hint
	}
	return text
}

// Prepare makes dir when it is missing, judges it, and closes one that is empty to others, as initdb does. It must be
// called before anything below dir is read.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	if err := Judge(dir, os.Geteuid()); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&foreign != 0 {
		err = os.Chmod(dir, mode)
	}
	return err
}

// empty reports whether nothing is in a directory.
func empty(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// Judge reports why user, by its id, may not use dir: an *[Error], or the file system's. It reads the names and owners
// of everything below dir, and changes nothing. An empty directory is good whatever its mode: see [Prepare].
func Judge(dir string, user int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return &Error{Message: fmt.Sprintf("specified data directory \"%s\" is not a directory", dir)}
	case Owner(info) != user:
		return &Error{
			Message: fmt.Sprintf("data directory \"%s\" has wrong ownership", dir),
			Hint: fmt.Sprintf("replproxy must be started by the user that owns the data directory (uid %d), not by "+
				"uid %d.", Owner(info), user),
		}
	case info.Mode().Perm()&foreign != 0 && !empty(dir):
		return &Error{
			Message: fmt.Sprintf("data directory \"%s\" has invalid permissions", dir),
			Detail:  "Permissions should be u=rwx (0700) or u=rwx,g=rx (0750).",
			Hint: fmt.Sprintf("Others could have written to it. If nobody has: chmod 0700 %s (replproxy "+
				"up to v0.1.0 did not look).", dir),
		}
	}
	// The walk begins at a directory, where dir is a link to one as well.
	return filepath.WalkDir(dir+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && path == dir+string(filepath.Separator) {
			return nil // removed meanwhile, by nobody but us
		}
		if errors.Is(err, fs.ErrPermission) && e != nil && e.IsDir() {
			return fs.SkipDir // root's, as lost+found: it has nothing of ours
		}
		if err != nil {
			return err
		}
		return judgeEntry(path, e, user)
	})
}

// judgeEntry judges what lies below a data directory.
func judgeEntry(path string, e fs.DirEntry, user int) error {
	const move = "Move it out of the data directory, or away."
	switch t := e.Type(); {
	case t&fs.ModeSymlink != 0:
		return &Error{
			Message: fmt.Sprintf("\"%s\" is a symbolic link", path),
			Detail:  "Nothing below a data directory may be one.",
			Hint:    "Make the data directory itself the link, or mount what shall be elsewhere.",
		}
	case !t.IsRegular() && !t.IsDir() && t&fs.ModeSocket == 0:
		return &Error{Message: fmt.Sprintf("\"%s\" is neither a file nor a directory", path), Hint: move}
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := Owner(info)
	switch {
	case owner != user && owner != 0:
		return &Error{
			Message: fmt.Sprintf("\"%s\" has wrong ownership", path),
			Detail:  fmt.Sprintf("It belongs to uid %d, and the data directory to uid %d.", owner, user),
			Hint:    move,
		}
	case info.Mode().Perm()&written != 0:
		return &Error{
			Message: fmt.Sprintf("\"%s\" has invalid permissions", path),
			Detail:  "Others than its owner may write to it.",
			Hint:    fmt.Sprintf("If nobody has: chmod go-w %s", path),
		}
	}
	return nil
}
