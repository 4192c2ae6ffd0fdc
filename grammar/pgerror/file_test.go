package pgerror_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestFromFile: what the operating system says of a file has PostgreSQL's SQLSTATE and words; what it says of a socket
// is none of that.
func TestFromFile(t *testing.T) {
	of := func(op string, errno syscall.Errno) error {
		return fmt.Errorf("create slot: %w", &fs.PathError{Op: op, Path: "/data/slots/f1.tmp", Err: errno})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{of("write", syscall.ENOSPC), `could not write to file "f1.tmp": No space left on device (SQLSTATE 53100)`},
		{of("fallocate", syscall.EDQUOT), `could not write to file "f1.tmp": Disk quota exceeded (SQLSTATE 53100)`},
		{of("open", syscall.EMFILE), `could not open file "f1.tmp": Too many open files (SQLSTATE 53000)`},
		{of("open", syscall.EACCES), `could not open file "f1.tmp": Permission denied (SQLSTATE 42501)`},
		{of("fdatasync", syscall.EIO), `could not fsync file "f1.tmp": Input/output error (SQLSTATE 58030)`},
		{fmt.Errorf("make: %w", syscall.ENOSPC), "could not write: No space left on device (SQLSTATE 53100)"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)},
			"internal error in replproxy (SQLSTATE XX000)"},
		{of("read", syscall.EINVAL), "internal error in replproxy (SQLSTATE XX000)"},
	} {
		e := pgerror.From(c.err)
		if got := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code); got != c.want || !errors.Is(e, c.err) {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}
