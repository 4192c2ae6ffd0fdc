package scene

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Background is a client program that runs beside a test.
type Background struct {
	Cmd  *exec.Cmd
	Out  strings.Builder
	Done chan error
}

func StartTool(t *testing.T, in *pgtest.Install, dir, name string, args ...string) *Background {
	t.Helper()
	b := &Background{Cmd: in.Tool(t, dir, name, args...), Done: make(chan error, 1)}
	b.Cmd.Stdout, b.Cmd.Stderr = &b.Out, &b.Out
	if err := b.Cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { b.Done <- b.Cmd.Wait() }()
	t.Cleanup(func() {
		_ = b.Cmd.Process.Kill()
		b.Done <- <-b.Done // both finish and this see the end
	})
	return b
}

// Finish waits for the program's end, which must be a success.
func (b *Background) Finish(t *testing.T) string {
	t.Helper()
	err := <-b.Done
	b.Done <- err
	if err != nil {
		t.Errorf("%s: %v\n%s", filepath.Base(b.Cmd.Path), err, &b.Out)
	}
	return b.Out.String()
}
