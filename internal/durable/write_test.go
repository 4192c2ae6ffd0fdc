package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/internal/durable"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEveryStepFails: the error is the operating system's and names the file, the old content is there, and nothing is
// left over.
func TestEveryStepFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EIO} {
			dir := t.TempDir()
			path := filepath.Join(dir, "promise")
			fault := vfs.NewFault(vfs.OS{})
			if err := vfs.WriteFile(fault, path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			fault.Set(func(at vfs.Op, _ string) error {
				if at == op {
					return errno
				}
				return nil
			})
			err := vfs.WriteFile(fault, path, []byte("new"))
			if !errors.Is(err, errno) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", op, err)
			}
			want := "old"
			if op == vfs.OpSyncDir { // it is in place, and may or may not survive
				want = "new"
			}
			if got := content(t, path); got != want {
				t.Errorf("%s: %q", op, got)
			}
			if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
				t.Errorf("%s: left over: %v %v", op, names, err)
			}
		}
	}
}

// TestPowerLoss: in whatever step the machine stops, the old content or the new is there.
func TestPowerLoss(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir, ""} {
		for seed := range uint64(20) {
			mem := vfs.NewMem()
			if err := errors.Join(mem.MkdirAll("/d"), mem.SyncDir("/"), vfs.WriteFile(mem, "/d/f", []byte("old"))); err != nil {
				t.Fatal(err)
			}
			fault := vfs.NewFault(mem)
			fault.Set(func(at vfs.Op, _ string) error {
				if at == op || at == vfs.OpRemove { // the machine stops: nothing is tidied up either
					return syscall.EIO
				}
				return nil
			})
			err := vfs.WriteFile(fault, "/d/f", []byte("new"))
			got, readErr := vfs.ReadFile(mem.Crash(rand.New(rand.NewPCG(seed, 0))), "/d/f", 10)
			switch {
			case readErr != nil:
				t.Errorf("%s: %v", op, readErr)
			case err == nil && string(got) != "new", string(got) != "new" && string(got) != "old":
				t.Errorf("%s: %q after %v", op, got, err)
			}
		}
	}
}

// TestLinksAreNotFollowed: what somebody has planted under the names is replaced, not written to.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "state")
	if err := os.WriteFile(victim, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []func(string, string) error{os.Symlink, os.Link} {
		for _, name := range []string{path, path + durable.TempSuffix} {
			if err := link(victim, name); err != nil {
				t.Fatal(err)
			}
			if err := durable.WriteFile(durable.OS{}, path, []byte("mine")); err != nil {
				t.Fatal(err)
			}
			if got := content(t, victim); got != "whole" {
				t.Errorf("%s: the victim has %q", name, got)
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 || content(t, path) != "mine" {
				t.Errorf("%s: %v %v", name, info, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWriteFrom: as much as was said, or nothing.
func TestWriteFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := durable.WriteFrom(durable.OS{}, path, strings.NewReader("abc"), 4); err == nil {
		t.Error("three bytes passed for four")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is there: %v", err)
	}
	if err := durable.WriteFrom(durable.OS{}, path, bytes.NewBufferString("abcd"), 3); err != nil || content(t, path) != "abc" {
		t.Errorf("%v", err)
	}
}

// TestMakeDir: what is missing is made, for our eyes only; what is in the way is an error.
func TestMakeDir(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	for range 2 {
		if err := durable.MakeDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.MakeDir(filepath.Join(top, "file", "x")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}
