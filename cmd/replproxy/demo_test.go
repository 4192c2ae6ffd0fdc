package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// demoIn runs the demo as a process of its own with its files below dir.
func demoIn(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, out *lines) {
	t.Helper()
	cmd = exec.Command(pgtest.Binary(t), append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out = &lines{first: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out
}

// lines collects output and tells when the words "start the primary" were seen. Read it after the end
// of the process only.
type lines struct {
	text  bytes.Buffer
	first chan struct{}
	seen  bool
}

func (l *lines) Write(p []byte) (int, error) {
	n, err := l.text.Write(p)
	if !l.seen && strings.Contains(l.String(), "start the primary") {
		l.seen = true
		close(l.first)
	}
	return n, err
}

func (l *lines) String() string { return l.text.String() }

// nothingLeft checks that directory and processes are gone.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(dir)) {
			t.Errorf("still running: %s", bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		}
	}
}

// TestDemo is the whole thing with one standby less and for a short time.
func TestDemo(t *testing.T) {
	dir := pgtest.Need(t, 15).TempDir(t)
	cmd, out := demoIn(t, dir, "--duration", "3s", "--standbys", "2")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"clone standby_2 through the proxy", "1 walsender (demo streaming)", "walsenders  1 on the primary with 2 standbys",
		"standby_1   equal to the primary", "standby_2   equal to the primary", "replproxy check",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	nothingLeft(t, dir)
}

// TestDemoQuorum: commits wait while voters are cut off, go on after that, and nothing is left.
func TestDemoQuorum(t *testing.T) {
	dir := pgtest.Need(t, 15).TempDir(t)
	cmd, out := demoIn(t, dir, "--quorum", "--duration", "10s")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"their rule: ANY 2 (standby_1, standby_2, standby_3)", "CUT OFF: proxy_b, proxy_c", "waiting, the longest for",
		"commits went on by themselves: true", "standby_3   equal to the primary",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	nothingLeft(t, dir)
}

// TestDemoInterrupted: Ctrl-C in the middle of the set-up, and kill -9, which Linux passes on.
func TestDemoInterrupted(t *testing.T) {
	in := pgtest.Need(t, 15)
	dir := in.TempDir(t)
	cmd, out := demoIn(t, dir, "--duration", "1min")
	<-out.first
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitFailure {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	nothingLeft(t, dir)

	dir = in.TempDir(t)
	cmd, out = demoIn(t, dir, "--duration", "1min")
	<-out.first
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	pgtest.WaitFor(t, time.Minute, "the children of a killed demo to end", func() (bool, error) {
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range all {
			if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(dir)) {
				return false, nil
			}
		}
		return true, nil
	})
}
