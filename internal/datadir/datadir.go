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

// Error returns the three in one line.
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

// Prepare makes dir when it is missing. It closes one that is ours and empty to others, as initdb does. Only then it
// judges dir, when nobody else can put anything there any more. It must be called before anything below dir is read.
func Prepare(dir string) error { return prepare(dir, empty) }

// prepare prepares dir as Prepare does; isEmpty reports whether a directory is empty.
func prepare(dir string, isEmpty func(string) bool) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	user := os.Geteuid()
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.IsDir() && Owner(info) == user && info.Mode().Perm()&foreign != 0 && isEmpty(dir) {
		if err := os.Chmod(dir, mode); err != nil {
			return err
		}
		if !isEmpty(dir) { // somebody was quicker: what is there is not believed, now or at the next start
			return errors.Join(errInvalidMode(dir), os.Chmod(dir, info.Mode().Perm()))
		}
	}
	return Judge(dir, user)
}

func errOwner(dir string, owner, user int) *Error {
	hint := fmt.Sprintf("replproxy must be started by the user that owns the data directory (uid %d), not by uid %d.",
		owner, user)
	if owner == 0 { // as the root of a file system is
		hint = fmt.Sprintf("The data directory belongs to root, and replproxy runs as uid %d. If it is a mount point, "+
			"name a directory below it that belongs to uid %d; or else: chown %d %s", user, user, user, dir)
	}
	return &Error{Message: fmt.Sprintf("data directory \"%s\" has wrong ownership", dir), Hint: hint}
}

func errInvalidMode(dir string) *Error {
	return &Error{
		Message: fmt.Sprintf("data directory \"%s\" has invalid permissions", dir),
		Detail:  "Permissions should be u=rwx (0700) or u=rwx,g=rx (0750).",
		Hint: fmt.Sprintf("Others could have written to it. If nobody has: chmod 0700 %s (replproxy "+
			"up to v0.1.0 did not look).", dir),
	}
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
		return errOwner(dir, Owner(info), user)
	case info.Mode().Perm()&foreign != 0 && !empty(dir):
		return errInvalidMode(dir)
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

// judgeEntry judges a file or folder below a data directory.
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
