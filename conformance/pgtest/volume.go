package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Volume is a small file system of its own, in memory, that ends with its test. Only root can make one.
type Volume struct {
	Dir string // belongs to the user of the servers
	who osUser
}

// NewVolume mounts a volume of size bytes. Make it before what lives on it, so that it ends after that.
func (in *Install) NewVolume(t testing.TB, size string) *Volume {
	t.Helper()
	v := &Volume{Dir: in.TempDir(t), who: in.who}
	if err := unix.Mount("pgtest", v.Dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		t.Fatalf("mount a small volume (tests of a full disk run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(v.Dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", v.Dir, err)
		}
	})
	if err := in.who.Own(v.Dir); err != nil {
		t.Fatalf("give volume away: %v", err)
	}
	return v
}

// DataDir returns a folder on the volume for a proxy to make.
func (v *Volume) DataDir() string { return filepath.Join(v.Dir, "data") }

// strange returns the file of somebody else.
func (v *Volume) strange() string { return filepath.Join(v.Dir, "strange") }

// Fill lets a file that has nothing to do with the proxy take everything but leave bytes.
func (v *Volume) Fill(t testing.TB, leave int64) {
	t.Helper()
	f, err := os.OpenFile(v.strange(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatalf("fill volume: %v", err)
	}
	defer f.Close()
	for { // others take and give meanwhile
		var fs unix.Statfs_t
		info, err := f.Stat()
		if err = errors.Join(err, unix.Statfs(v.Dir, &fs)); err != nil {
			t.Fatalf("fill volume: %v", err)
		}
		more := int64(fs.Bavail)*fs.Bsize - leave
		if more <= 0 {
			return
		}
		if err := unix.Fallocate(int(f.Fd()), 0, info.Size(), more); err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("fill volume: %v", err)
		}
	}
}

// Heal removes the files that Fill has made.
func (v *Volume) Heal(t testing.TB) {
	t.Helper()
	if err := os.Remove(v.strange()); err != nil {
		t.Fatalf("make room on the volume: %v", err)
	}
}
