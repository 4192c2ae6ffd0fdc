package pgtest

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/internal/child"
)

// osUser is the operating system user that servers, client programs and the proxy run as.
type osUser struct{ child.Account }

func serverAccount(t testing.TB) osUser {
	t.Helper()
	a, err := child.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	return osUser{a}
}

// prepare makes a command run as that user, in a process group of its own, with a small environment and with sig as
// its end should this process die first.
func (a osUser) prepare(cmd *exec.Cmd, dir string, sig syscall.Signal, env ...string) {
	cmd.SysProcAttr = a.Attributes(sig)
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
