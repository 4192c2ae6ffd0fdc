package vfs

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLifeOfAMount: a directory has one life for as long as it is mounted. A file system that was unmounted, as after an
// error of its disk, and is mounted again has lost what it had not written. The kernel gives mounts their numbers again.
func TestLifeOfAMount(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID_UNIQUE, &st)
	if told := err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE != 0; !told {
		if life := (OS{}).Life(dir); life != "" {
			t.Errorf("this kernel does not tell mounts apart, and %q is known", life)
		}
		return
	}
	if life := (OS{}).Life(dir); life == "" || life != (OS{}).Life(dir) {
		t.Errorf("%q is not the same, or not known", life)
	}
	if life := (OS{}).Life(dir + "/missing"); life != "" {
		t.Errorf("%q is of no directory", life)
	}
	seen := map[string]bool{}
	for range 3 {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Logf("this account may not mount: %v", err)
			return
		}
		life := OS{}.Life(dir)
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		if seen[life] {
			t.Errorf("%q is the life of two mounts", life)
		}
		seen[life] = true
	}
}
