package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/internal/datadir"
)

// LookAtDisk says whether dir can be used and how much room its volume has. It leaves nothing behind:
// a directory that does not exist is judged by the nearest one above it that does.
func LookAtDisk(dir string) Disk {
	d := Disk{Exists: true}
	at, err := filepath.Abs(dir)
	if err != nil {
		return Disk{Err: err}
	}
	info, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
		d.Exists = false
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", at)
	}
	if err == nil {
		if unix.Access(at, unix.W_OK|unix.X_OK) != nil {
			err = fmt.Errorf("%s is not writable for this user (uid %d)", at, os.Geteuid())
		}
	}
	if err != nil {
		d.Err = fmt.Errorf("use %s: %w", dir, err)
		return d
	}
	if d.Exists {
		user := os.Geteuid()
		if st, ok := info.Sys().(*syscall.Stat_t); ok && user == 0 {
			user = int(st.Uid) // who runs check as root means to run the proxy as its owner
		}
		if err := datadir.Judge(at, user); err != nil {
			d.Err = err
			return d
		}
		d.Slots = slotsIn(filepath.Join(at, "slots"))
		if d.Store, _, err = walstore.ReadIdentity(at); err != nil {
			d.Err = err
			return d
		}
	}
	if d.Exists {
		d.Sync = timeSync(at)
	}
	d.Total, d.Free, d.Err = Volume(at)
	return d
}

// slotsIn lists the slots by their files (docs/slot-format.md), without opening what a proxy may be using.
func slotsIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // a proxy that never ran has none
	for _, e := range entries {
		if e.Type().IsRegular() && grammar.ValidateSlotName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names
}

// Volume returns the size of the volume that holds dir, and what an ordinary user may still take.
func Volume(dir string) (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the volume of %s: %w", dir, err)
	}
	return int64(st.Blocks) * int64(st.Bsize), int64(st.Bavail) * int64(st.Bsize), nil
}
