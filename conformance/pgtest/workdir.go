package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// maxRootLength bounds the root's path, in bytes. A unix socket's path has at most 107, and PostgreSQL's own part of it
// takes about 20.
const maxRootLength = 60

const workPrefix = "rpt-" // rpt-<pid> holds all folders of one test process

// processDir returns this test process's folder and makes it when missing. The folders of processes
// that are gone (a test binary that was killed) are removed on the way.
func processDir() (string, error) {
	root := os.TempDir()
	if len(root) > maxRootLength {
		root = "/tmp"
	}
	dir := filepath.Join(root, workPrefix+strconv.Itoa(os.Getpid()))
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return dir, nil
	}
	if err != nil {
		return "", fmt.Errorf("make test folder: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask says: servers run as another user
		return "", fmt.Errorf("open test folder: %w", err)
	}
	sweep(root)
	return dir, nil
}

func sweep(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(strings.TrimPrefix(e.Name(), workPrefix))
		if err != nil || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(filepath.Join(root, e.Name())) // another user's folder stays
		}
	}
}

// TempDir returns a new folder that belongs to the user of the servers and is removed at the end of the test.
// t.TempDir will not do: only root can enter it when tests run as root.
func (in *Install) TempDir(t testing.TB) string {
	t.Helper()
	return tempDir(t, in.who)
}

// Give gives a file or a folder to the user of the servers.
func (in *Install) Give(t testing.TB, path string) {
	t.Helper()
	if err := in.who.Own(path); err != nil {
		t.Fatalf("give %s away: %v", path, err)
	}
}

// LetRead gives a file to root, and lets the group of the servers' user read it.
func (in *Install) LetRead(t testing.TB, path string) {
	t.Helper()
	if err := errors.Join(os.Chown(path, 0, in.who.GID), os.Chmod(path, 0o640)); err != nil {
		t.Fatalf("let others read %s: %v", path, err)
	}
}

func tempDir(t testing.TB, who osUser) string {
	t.Helper()
	parent, dir, err := makeTemp()
	for errors.Is(err, os.ErrNotExist) { // a parallel test has just removed the empty parent
		parent, dir, err = makeTemp()
	}
	if err != nil {
		t.Fatalf("make test folder: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove test folder: %v", err)
		}
		_ = os.Remove(parent) // the last one out; fails while others are in
	})
	if err := who.Own(dir); err != nil {
		t.Fatalf("give test folder away: %v", err)
	}
	return dir
}

func makeTemp() (parent, dir string, err error) {
	if parent, err = processDir(); err != nil {
		return "", "", err
	}
	dir, err = os.MkdirTemp(parent, "")
	return parent, dir, err
}
