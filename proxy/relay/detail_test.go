package relay

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDialDetail: a file of conninfo that is missing, or may not be read, is not taken for a server that is not there.
func TestDialDetail(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent")
	_, noFile := os.Stat(absent)
	_, noSocket := net.Dial("unix", absent)
	for _, c := range []struct {
		err  error
		want string
	}{
		{noSocket, "unix socket does not exist"},
		{&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}, "Permission denied"},
		{noFile, "cannot be read"},
		{&fs.PathError{Op: "open", Path: absent, Err: syscall.EACCES}, "cannot be read"},
	} {
		if got := dialDetail(fmt.Errorf("read upstream conninfo: %w", c.err)); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
