package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKey bounds a key file; a key with its certificate chain has a few kB. maxPasswords bounds a password
// file: ten thousand roles with their verifiers have a few MB.
const (
	maxKey       = 1 << 20
	maxPasswords = 16 << 20
)

// Bits of a file's mode that must not be set.
const (
	others      = fs.FileMode(0o077) // for its owner's eyes only
	othersRoot  = fs.FileMode(0o037) // root may let a group read it
	serverRoles = "File must have permissions u=rw (0600) or less if owned by the user that runs replproxy, " +
		"or permissions u=rw,g=r (0640) or less if owned by root."
	clientRoles = "file must have permissions u=rw (0600) or less if owned by the current user, " +
		"or permissions u=rw,g=r (0640) or less if owned by root"
)

// ofRoot names the further mode that is allowed where root's files may be open to a group.
var ofRoot = map[bool]string{true: ", or u=rw,g=r (0640) or less if owned by root"}

// ReadServer reads a key that we show to clients. The error is PostgreSQL's.
func ReadServer(path string) ([]byte, error) {
	return read(path, maxKey, func(mode fs.FileMode, owner, us int) error {
		switch {
		case !mode.IsRegular():
			return fmt.Errorf("private key file %q is not a regular file", path)
		case owner != us && owner != 0:
			return fmt.Errorf("private key file %q must be owned by the user that runs replproxy or root", path)
		case owner == us && mode&others != 0 || owner == 0 && mode&othersRoot != 0:
			return fmt.Errorf("private key file %q has group or world access. %s", path, serverRoles)
		}
		return nil
	})
}

// ReadClient reads a key that we show to a server. The error is libpq's.
func ReadClient(path string) ([]byte, error) {
	return read(path, maxKey, func(mode fs.FileMode, owner, _ int) error {
		switch {
		case !mode.IsRegular():
			return fmt.Errorf("private key file %q is not a regular file", path)
		case owner != 0 && mode&others != 0 || owner == 0 && mode&othersRoot != 0:
			return fmt.Errorf("private key file %q has group or world access; %s", path, clientRoles)
		}
		return nil
	})
}

// ReadPasswords reads a password file. The error is libpq's; a file that is not there wraps fs.ErrNotExist.
func ReadPasswords(path string) ([]byte, error) {
	b, err := ReadSecret(path)
	if err != nil {
		return nil, fmt.Errorf("password file %q was not read: %w", path, err)
	}
	return b, nil
}

// ReadSecret reads a secret as ReadPasswords reads passwords. The error does not name the file.
func ReadSecret(path string) ([]byte, error) { return secret(path, false) }

// ReadShared reads a secret that an administrator puts there: root may let a group read it, as a private key.
func ReadShared(path string) ([]byte, error) { return secret(path, true) }

func secret(path string, group bool) ([]byte, error) {
	given := group || credential(path)
	return read(path, maxPasswords, func(mode fs.FileMode, owner, us int) error {
		switch {
		case !mode.IsRegular():
			return errors.New("it is not a plain file")
		case given && owner == 0 && mode&othersRoot == 0:
		case mode&others != 0:
			return errors.New("it has group or world access; permissions should be u=rw (0600) or less" + ofRoot[group])
		}
		return nil
	})
}

// Closed reports why a file with a secret in it may not be used: it is open to others. What is root's may be open to a
// group, as libpq lets a key be. The file is not read.
func Closed(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("could not access file: %w", err)
	}
	open := others
	if ownerOf(info) == 0 {
		open = othersRoot
	}
	if info.Mode().IsRegular() && info.Mode()&open != 0 && !(credential(path) && info.Mode()&othersRoot == 0) {
		return fmt.Errorf("file %q has group or world access; %s", path, clientRoles)
	}
	return nil
}

// credential reports whether systemd gave us a file, as LoadCredential says. It lets us read what is root's by an
// access control list, which shows as access of the group (systemd 254 and newer).
func credential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(path) == filepath.Clean(dir)
}

func read(path string, limit int64, judge func(mode fs.FileMode, owner, us int) error) ([]byte, error) {
	info, err := os.Stat(path) // first: to open a pipe may block
	if err != nil {
		return nil, fmt.Errorf("could not access file: %w", err)
	}
	if err := judge(info.Mode(), ownerOf(info), os.Geteuid()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("could not access file: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil {
		err = judge(info.Mode(), ownerOf(info), os.Geteuid())
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("the file is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return b, nil
}
