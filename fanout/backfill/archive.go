package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// commandLimit bounds one run of the restore command: a segment from a slow object store.
const commandLimit = 5 * time.Minute

// commandGrace bounds how long a command that was told to end may still hold its output.
const commandGrace = 2 * time.Second

// maxOutput bounds the output of a failed command in the log, in bytes.
const maxOutput = 500

// Archive runs restore_command for one segment after another, as PostgreSQL does. %f is the name of the file, %p the
// path to put it at, %r the oldest file still needed, %% a percent sign. The segment is there after exit code 0 and
// with a file of the right size.
type Archive struct {
	Command string
	Dir     string // of this proxy alone; the file lies there until it is imported
	Prefix  string // of that file's name; "": restore. Two that run at once have two
}

// String names the source.
func (a *Archive) String() string { return "restore_command" }

// Open fetches the first segment, and blocks for the command; the others follow as they are read. It fails where the
// archive lacks that segment. ctx bounds the whole reading.
func (a *Archive) Open(ctx context.Context, id walstore.Identity, r Run) (io.ReadCloser, error) {
	w := &restored{a: a, ctx: ctx, size: id.SegSize, run: r}
	if err := w.next(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// restored is the WAL of consecutive archived files.
type restored struct {
	a    *Archive
	ctx  context.Context
	size lsn.SegSize
	run  Run // what is left
	f    *os.File
}

// Close removes the file that is being read. It may be called again.
func (w *restored) Close() error {
	if w.f == nil {
		return nil
	}
	err := errors.Join(w.f.Close(), os.Remove(w.f.Name()))
	w.f = nil
	return err
}

// Read returns WAL of the segments that Open was asked for, one after the other. At the end of one it runs the command
// for the next, and blocks for it. io.EOF: all segments were read.
func (w *restored) Read(p []byte) (int, error) {
	for w.f != nil {
		n, err := w.f.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
	}
	if w.run.Start >= w.run.End {
		return 0, io.EOF
	}
	if err := w.next(); err != nil {
		return 0, err
	}
	return w.f.Read(p)
}

// next runs the command for the next segment and opens the file that it brought. It blocks for commandLimit at most.
// [ErrAbsent]: the archive does not have it.
func (w *restored) next() error {
	name := w.size.FileName(w.run.Timeline, w.size.Segno(w.run.Start))
	path := filepath.Join(w.a.Dir, cmp.Or(w.a.Prefix, "restore")+"."+name)
	_ = os.Remove(path) // of a process that died
	if err := w.a.run(w.ctx, name, path); err != nil {
		_ = os.Remove(path)
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("restore_command brought no file: %w", err)
	}
	w.f = f
	w.run.Start += lsn.LSN(w.size)
	st, err := f.Stat()
	if err == nil && st.Size() != int64(w.size) {
		err = fmt.Errorf("archived file %q has %d bytes instead of %d", name, st.Size(), w.size)
	}
	return err
}

// run runs the command once. The whole process group is ended with ctx.
func (a *Archive) run(ctx context.Context, name, path string) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", expand(a.Command, name, path))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out[:min(len(out), maxOutput)]))
		if commandAbsent(err) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrAbsent, err)
		}
		return fmt.Errorf("restore %s: %w: %s", name, err, text)
	}
	return nil
}

// expand replaces the placeholders. %r gives the file itself: nothing older is needed.
func expand(command, name, path string) string {
	return strings.NewReplacer("%f", name, "%p", path, "%r", name, "%%", "%").Replace(command)
}
