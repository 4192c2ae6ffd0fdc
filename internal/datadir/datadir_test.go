package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const us, other = 4711, 4712

// TestJudge: whose a data directory may be, who may write to it, and what may lie in it.
func TestJudge(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: other owners are not tried; CI has it")
	}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // a part of the refusal
	}{
		{"as it is made", func(*testing.T, string) {}, ""},
		{"a group may read", chmod("", 0o750), ""},
		{"a group may write", chmod("", 0o770), "has invalid permissions; DETAIL: Permissions should be u=rwx (0700) or u=rwx,g=rx (0750)."},
		{"the world may read", chmod("", 0o705), "chmod 0700"},
		{"the world may enter", chmod("", 0o701), "has invalid permissions"},
		{"another's", chown("", other), `has wrong ownership; HINT: replproxy must be started by the user that owns`},
		{"root's", chown("", 0), "name a directory below it"},
		{"a file of root", chown("auth/roles", 0), ""},
		{"a file of another", chown("auth/roles", other), `auth/roles" has wrong ownership`},
		{"a directory of another", chown("auth", other), `auth" has wrong ownership`},
		{"a file that a group may write to", chmod("auth/roles", 0o660), `auth/roles" has invalid permissions`},
		{"a directory that all may write to", chmod("auth", 0o777), `auth" has invalid permissions`},
		{"a file that all may read", chmod("auth/roles", 0o644), ""},
		{"a link to a file", link("auth/roles.new"), "is a symbolic link"},
		{"a link to a directory", link("wal"), "is a symbolic link"},
		{"a pipe", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "wal"), 0o600)) }, "neither a file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			must(t, Prepare(dir))
			must(t, os.Mkdir(filepath.Join(dir, "auth"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "auth/roles"), nil, 0o600))
			user := os.Geteuid()
			if user == 0 {
				user = us
				must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chown(p, us, us)) }))
			}
			tc.change(t, dir)
			alias := dir + "-alias"
			must(t, os.Symlink(dir, alias))
			for _, at := range []string{dir, alias} {
				err := Judge(at, user)
				var e *Error
				if tc.want == "" && err != nil || tc.want != "" && (!errors.As(err, &e) || !strings.Contains(err.Error(), tc.want)) {
					if user == us || !strings.Contains(tc.name, "root") && !strings.Contains(tc.name, "another") {
						t.Errorf("%s: %v", at, err)
					}
				}
			}
		})
	}
}

// TestPrepare: what is made, and what cannot be.
func TestPrepare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b")
	must(t, Prepare(dir))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	must(t, os.Chmod(dir, 0o755))
	must(t, Prepare(dir)) // still empty
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("an empty one: %v, %v", info, err)
	}
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := Prepare(file); err == nil {
		t.Error("a file")
	}
	if err := Judge(file, os.Geteuid()); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a file: %v", err)
	}
}

// TestPrepareIsRaced: what another puts into an empty directory before it is closed is not believed, then or later.
func TestPrepareIsRaced(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	first := true
	err := prepare(dir, func(dir string) bool {
		was := empty(dir)
		if first {
			first = false
			must(t, os.Mkdir(filepath.Join(dir, "auth"), 0o700))
		}
		return was
	})
	for _, err := range []error{err, Prepare(dir)} {
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "has invalid permissions") {
			t.Errorf("an empty directory that was not empty any more: %v", err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chmod(name string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, name), mode)) }
}

func chown(name string, user int) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if os.Geteuid() == 0 {
			must(t, os.Chown(filepath.Join(dir, name), user, user))
		}
	}
}

func link(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { must(t, os.Symlink(t.TempDir(), filepath.Join(dir, name))) }
}
