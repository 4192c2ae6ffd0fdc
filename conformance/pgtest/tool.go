package pgtest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toolGrace is the time for a client program to end after the SIGTERM that a cancelled context sends it, before it is
// killed.
const toolGrace = 5 * time.Second

// Tool returns a command that runs one of Debian's client programs (version 15) as the servers' user, in folder dir,
// with nothing of this process's environment. That user must be able to enter dir. A name with a slash is the path of
// any other program. It is ended when the test ends at the latest. The caller may set Stdin, Stdout and more Env.
func (in *Install) Tool(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	return in.ToolContext(t.Context(), dir, name, args...)
}

// ToolContext returns a command as Tool does, which ends with ctx, by SIGTERM.
func (in *Install) ToolContext(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	if !strings.Contains(name, "/") {
		name = filepath.Join(debianBin, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	in.who.prepare(cmd, dir, syscall.SIGKILL)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = toolGrace
	return cmd
}

// RunTool runs a client program to its end and returns what it printed; it fails the test when the
// program fails.
func (in *Install) RunTool(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	out, err := in.Tool(t, dir, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
