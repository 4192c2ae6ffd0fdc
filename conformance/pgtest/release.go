package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// releasesFile names the releases, a line "version, commit" each, oldest first.
const releasesFile = "RELEASES"

// Release names a release that was made.
type Release struct{ Version, Commit string }

// PreviousRelease returns the binary of the release before this code, which is built once per test process out of
// the commit that the file RELEASES names. It needs git and that commit: a clone without history is not enough.
func PreviousRelease(t testing.TB) (Release, string) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	r, err := previousRelease(root)
	if err != nil {
		t.Fatalf("find the release before this code: %v", err)
	}
	path, err := buildRelease(root, r)
	if err != nil {
		t.Fatalf("build release %s (%s): %v", r.Version, r.Commit, err)
	}
	return r, path
}

// BuildOf returns the binary of a commit, or of what else git names, which is built once per test process.
func BuildOf(t testing.TB, commit string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path, err := buildRelease(root, Release{Version: commit, Commit: commit})
	if err != nil {
		t.Fatalf("build %s: %v", commit, err)
	}
	return path
}

// previousRelease returns the newest one whose code is not the present one; the newest one when all are.
func previousRelease(root string) (Release, error) {
	text, err := os.ReadFile(filepath.Join(root, releasesFile))
	if err != nil {
		return Release{}, err
	}
	releases := parseReleases(string(text))
	if len(releases) == 0 {
		return Release{}, fmt.Errorf("%s names none", releasesFile)
	}
	for i := len(releases) - 1; i >= 0; i-- {
		err := git(root, "diff", "--quiet", releases[i].Commit, "--", "*.go").Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
			return releases[i], nil
		}
	}
	return releases[len(releases)-1], nil
}

// parseReleases leaves comments out.
func parseReleases(text string) (all []Release) {
	for line := range strings.Lines(text) {
		version, commit, ok := strings.Cut(strings.TrimSpace(line), ", ")
		if ok && !strings.HasPrefix(version, "#") {
			all = append(all, Release{version, commit})
		}
	}
	return all
}

// git reads a repository whoever owns it.
func git(root string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=*", "-C", root}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
	return cmd
}

// buildRelease keeps the binary beside the present code's.
func buildRelease(root string, r Release) (string, error) {
	dir, unlock, err := lockedDir("release-" + r.Version)
	if err != nil {
		return "", err
	}
	defer unlock()
	path, source := filepath.Join(dir, "replproxy"), filepath.Join(dir, "source")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(source, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(source)
	var archive, complaint bytes.Buffer
	export := git(root, "archive", "--format=tar", r.Commit)
	export.Stdout, export.Stderr = &archive, &complaint
	if err := export.Run(); err != nil {
		return "", fmt.Errorf("git archive: %w\n%s", err, &complaint)
	}
	unpack := exec.Command("tar", "-x", "-C", source)
	unpack.Stdin = &archive
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w\n%s", err, out)
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/replproxy")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, os.Chmod(path, 0o755)
}
