package vfs

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID has a random name of the present boot of the kernel.
const bootID = "/proc/sys/kernel/random/boot_id"

// Life implements [FS]. Mounts are told apart since Linux 6.8. Before, one that is unmounted and mounted again may have
// the same number, and so the same life.
func (OS) Life(dir string) string {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return ""
	}
	var st unix.Statx_t
	const mount = unix.STATX_MNT_ID_UNIQUE | unix.STATX_MNT_ID // the first one if the kernel has it
	err = unix.Statx(unix.AT_FDCWD, dir, 0, mount|unix.STATX_INO, &st)
	if err != nil || st.Mask&mount == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d:%d %d %d", strings.TrimSpace(string(boot)), st.Dev_major, st.Dev_minor, st.Mnt_id, st.Ino)
}
