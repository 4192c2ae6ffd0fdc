package datadir

import (
	"io/fs"
	"os"
	"syscall"
)

// Owner tells the user id of a file's owner.
func Owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Geteuid()
}
