package datadir

import (
	"io/fs"
	"os"
	"syscall"
)

// Owner returns the user id of a file's owner; this process's where info does not have it.
func Owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Geteuid()
}
