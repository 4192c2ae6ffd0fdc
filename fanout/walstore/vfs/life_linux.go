package vfs

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID has a random name of the present boot of the kernel.
const bootID = "/proc/sys/kernel/random/boot_id"

// Life implements [FS]. It is known since Linux 6.8 only: before, one that is unmounted and mounted again may have the
// same number.
func (OS) Life(dir string) string {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return ""
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID_UNIQUE|unix.STATX_INO, &st)
	if err != nil || st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d:%d %d %d", strings.TrimSpace(string(boot)), st.Dev_major, st.Dev_minor, st.Mnt_id, st.Ino)
}
