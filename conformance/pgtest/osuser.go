package pgtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// osUser is the operating system user that servers, client programs and the proxy run as.
type osUser struct {
	uid, gid int
	change   bool // this process is root and must become that user
}

func serverAccount(t testing.TB) osUser {
	t.Helper()
	if os.Geteuid() != 0 {
		return osUser{uid: os.Geteuid(), gid: os.Getegid()}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return osUser{uid: uid, gid: gid, change: true}
		}
	}
	t.Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	return osUser{}
}

// prepare makes a command run as that user, in a process group of its own, with a small environment and with sig as
// its end should this process die first.
func (a osUser) prepare(cmd *exec.Cmd, dir string, sig syscall.Signal, env ...string) {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: sig}
	if a.change {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{uint32(a.gid)}}
	}
	cmd.SysProcAttr = attr
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + debianBin + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"HOME=" + dir,
		"LC_ALL=C",
		"TZ=UTC",
		"PGSSLMODE=disable",
		"PGGSSENCMODE=disable",
	}, env...)
}

// own gives a file or folder to that user.
func (a osUser) own(path string) error {
	if !a.change {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}
