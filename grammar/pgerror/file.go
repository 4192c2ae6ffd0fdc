package pgerror

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// fileCodes are the SQLSTATEs that PostgreSQL gives a file that could not be used (errcode_for_file_access).
var fileCodes = map[syscall.Errno]Code{
	syscall.EPERM: InsufficientPrivilege, syscall.EACCES: InsufficientPrivilege, syscall.EROFS: InsufficientPrivilege,
	syscall.ENOENT: UndefinedFile,
	syscall.ENOSPC: DiskFull, syscall.EDQUOT: DiskFull,
	syscall.ENFILE: InsufficientResources, syscall.EMFILE: InsufficientResources,
	syscall.EIO: IOError,
}

// ofFile returns the error of a file that the operating system did not let us use, in PostgreSQL's words; nil: it is
// none.
func ofFile(err error) *Error {
	var path *fs.PathError
	var errno syscall.Errno
	switch {
	case !errors.As(err, &errno) || fileCodes[errno] == "":
		return nil
	case errors.As(err, &path):
	case fileCodes[errno] == DiskFull: // nothing but a file runs out of space
		return New(DiskFull, "could not write: No space left on device").WithCause(err)
	default:
		return nil // of a socket, as it may be
	}
	verb := path.Op
	switch verb {
	case "write", "fallocate", "ftruncate", "truncate", "pwrite":
		verb = "write to"
	case "fdatasync", "sync":
		verb = "fsync"
	}
	reason := errno.Error()
	return New(fileCodes[errno], `could not %s file "%s": %s`, verb, filepath.Base(path.Path),
		strings.ToUpper(reason[:1])+reason[1:]).WithCause(err)
}
