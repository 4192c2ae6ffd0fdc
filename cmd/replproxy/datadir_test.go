package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestRunRefusesRoot: before it makes anything.
func TestRunRefusesRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		return // CI is root
	}
	dir := filepath.Join(t.TempDir(), "d")
	code, _, errs := program(t, nil, "run", "--upstream", "host=127.0.0.1 port=1 user=x", "--data-dir", dir)
	if _, err := os.Stat(dir); code != 2 || !strings.Contains(errs, "--allow-root") || err == nil {
		t.Errorf("exit code %d, directory %v\n%s", code, err, errs)
	}
}

// TestDataDirOfOthers: a directory that others could have written to is not used, and nothing in it is changed. The
// program says what to do, and does as before when that was done.
func TestDataDirOfOthers(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	victim := filepath.Join(in.TempDir(t), "victim")
	proxy.WriteFile(t, victim, "root's own")
	proxy.Terminate(t)
	planted := filepath.Join(proxy.DataDir, "promised.tmp")
	for _, tc := range []struct {
		name        string
		spoil, mend func() error
		want        string
	}{
		{"the group may write", func() error { return os.Chmod(proxy.DataDir, 0o770) }, func() error { return os.Chmod(proxy.DataDir, 0o750) },
			`has invalid permissions; DETAIL: Permissions should be u=rwx (0700) or u=rwx,g=rx (0750).; HINT: `},
		{"a link", func() error { return os.Symlink(victim, planted) }, func() error { return os.Remove(planted) }, `is a symbolic link`},
		{"all may write below", func() error { return os.Chmod(filepath.Join(proxy.DataDir, "slots"), 0o777) },
			func() error { return os.Chmod(filepath.Join(proxy.DataDir, "slots"), 0o700) }, `slots" has invalid permissions`},
		{"wrong owner", func() error { return chownForTest(proxy.DataDir, 1) }, func() error { return chownForTest(proxy.DataDir, -1) },
			`wrong ownership; HINT: replproxy must be started by the user that owns the data directory`},
	} {
		if tc.name == "wrong owner" && os.Geteuid() != 0 {
			continue // CI is root
		}
		before := len(proxy.Log())
		if err := tc.spoil(); err != nil {
			t.Fatal(err)
		}
		proxy.StartNoWait(t)
		if code := proxy.WaitExit(t); code != 2 || !strings.Contains(proxy.Log()[before:], tc.want) {
			t.Errorf("%s: exit code %d\n%s", tc.name, code, proxy.Log()[before:])
		}
		code, out, _ := program(t, nil, "check", "--upstream", primary.Conninfo(), "--data-dir", proxy.DataDir)
		if !strings.Contains(out, "fail  data_dir") {
			t.Errorf("%s: check, exit code %d\n%s", tc.name, code, out)
		}
		if err := tc.mend(); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "root's own" {
		t.Errorf("%q, %v", b, err)
	}
	proxy.Start(t)
}

var errNoOwner = errors.New("no owner")

// chownForTest gives a directory to a user, or back to the owner of what lies in it.
func chownForTest(dir string, user int) error {
	if user >= 0 {
		return os.Chown(dir, user, -1)
	}
	info, err := os.Stat(filepath.Join(dir, "wal"))
	if err != nil {
		return err
	}
	uid, ok := uidOf(info)
	if !ok {
		return errNoOwner
	}
	return os.Chown(dir, uid, -1)
}

func uidOf(info os.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
