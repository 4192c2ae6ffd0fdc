package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Environment variables that say which replproxy tests run.
const (
	// BinEnv names a replproxy binary that is built already.
	BinEnv = "REPLPROXY_BIN"
	// RaceEnv, when set, builds replproxy with the race detector.
	RaceEnv = "REPLPROXY_RACE"
)

// Binary returns the path of the replproxy binary, which is built once per test process.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(BinEnv); path != "" {
		return path
	}
	path, err := buildBinary("")
	if err != nil {
		t.Fatalf("build replproxy: %v", err)
	}
	return path
}

// Tagged returns the path of a replproxy binary with a build tag, which is built once per test process.
func Tagged(t testing.TB, tag string) string {
	t.Helper()
	path, err := buildBinary(tag)
	if err != nil {
		t.Fatalf("build replproxy with the tag %s: %v", tag, err)
	}
	return path
}

// lockedDir returns a folder of this run of the tests, which it makes. Other test processes that ask for it wait for
// unlock.
func lockedDir(name string) (dir string, unlock func() error, err error) {
	parent, err := processDir()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock: %w", err), lock.Close())
	}
	return dir, lock.Close, nil
}

func buildBinary(tag string) (string, error) {
	dir, unlock, err := lockedDir("bin")
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "replproxy")
	if tag != "" {
		path += "-" + tag
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	// The stamp of version control needs a repository of this user.
	args := []string{"build", "-buildvcs=false", "-tags=" + tag, "-o", path}
	if os.Getenv(RaceEnv) != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/replproxy")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, os.Chmod(path, 0o755)
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
