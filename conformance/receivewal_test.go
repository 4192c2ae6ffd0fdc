package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// background is a client program that runs beside a test.
type background struct {
	cmd  *exec.Cmd
	out  strings.Builder
	done chan error
}

func startTool(t *testing.T, in *pgtest.Install, dir, name string, args ...string) *background {
	t.Helper()
	b := &background{cmd: in.Tool(t, dir, name, args...), done: make(chan error, 1)}
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.out
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { b.done <- b.cmd.Wait() }()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		b.done <- <-b.done // both finish and this see the end
	})
	return b
}

// finish waits for the program's end, which must be a success.
func (b *background) finish(t *testing.T) string {
	t.Helper()
	err := <-b.done
	b.done <- err
	if err != nil {
		t.Errorf("%s: %v\n%s", filepath.Base(b.cmd.Path), err, &b.out)
	}
	return b.out.String()
}

// The files of pg_receivewal behind the proxy equal the primary's byte for byte.
func TestReceiveWAL(t *testing.T) {
	ways := []struct {
		name string
		args []string
		slot bool
	}{
		{name: "plain"},
		{name: "slot", slot: true},
		{name: "slot, synchronous", args: []string{"--synchronous"}, slot: true},
	}
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, in)
				dir := in.TempDir(t)
				args := append([]string{"-D", dir, "-d", s.proxy.Conninfo(), "--no-loop"}, way.args...)
				if way.slot {
					in.RunTool(t, dir, "pg_receivewal", "-d", s.proxy.Conninfo(), "--create-slot", "--slot=archive")
					args = append(args, "--slot=archive")
				}
				end := (s.primary.SegSize(t).Floor(s.primary.CurrentLSN(t)) + 3<<24).String()
				receiver := startTool(t, in, dir, "pg_receivewal", append(args, "--endpos="+end)...)
				attached(t, s.proxy, "pg_receivewal") // it begins with the segment of that moment
				load := startLoad(t, s.primary)
				for !reached(t, s.primary, end) {
					load.waitCommits(t, 50)
					s.primary.Exec(t, "SELECT pg_switch_wal()")
				}
				load.stopLoad(t)
				receiver.finish(t)
				s.verify(t)
				compareArchive(t, s, dir, 3)
			})
		}
	}, 14, 15)
}

func reached(t *testing.T, server *pgtest.Server, end string) bool {
	t.Helper()
	return server.Scalar(t, "SELECT pg_current_wal_flush_lsn() > '"+end+"'") == "t"
}

// compareArchive compares the finished files of pg_receivewal with the primary's; it wants n at least.
func compareArchive(t *testing.T, s *site, dir string, n int) {
	t.Helper()
	upTo := s.primary.CurrentLSN(t)
	if got := pgtest.EqualSegments(t, s.primary.SegSize(t), upTo, dir, s.primary.WALDir()); got < n {
		entries, _ := os.ReadDir(dir)
		t.Errorf("%d segments compared, want at least %d; there are %v", got, n, entries)
	}
}

// pg_receivewal --synchronous tells what it flushed at once, and its slot moves with it.
func TestReceiveWALReportsFlush(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := newSite(t, in)
	dir := in.TempDir(t)
	in.RunTool(t, dir, "pg_receivewal", "-d", s.proxy.Conninfo(), "--create-slot", "--slot=archive")
	receiver := startTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.proxy.Conninfo("application_name=archive"),
		"--slot=archive", "--synchronous", "--no-loop", "--status-interval=600")
	s.primary.Exec(t, loadTable+"; INSERT INTO load (pad) VALUES ('x')")
	at := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "pg_receivewal to report "+at.String(), func() (bool, error) {
		st := status(t, s.proxy)
		if len(st.Standbys) != 1 || len(st.Slots) != 1 {
			return false, nil
		}
		row := st.Standbys[0]
		return row.ApplicationName == "archive" && row.Flush >= at && st.Slots[0].Restart >= at, nil
	})
	_ = receiver.cmd.Process.Signal(os.Interrupt)
	receiver.finish(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the session to end", func() (bool, error) {
		st := status(t, s.proxy)
		return len(st.Standbys) == 0 && !st.Slots[0].Active, nil
	})
	s.verify(t)
}

// pg_receivewal resumes at the start of its unfinished segment after the proxy was killed.
func TestReceiveWALResumes(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := newSite(t, in)
	dir := in.TempDir(t)
	in.RunTool(t, dir, "pg_receivewal", "-d", s.proxy.Conninfo(), "--create-slot", "--slot=archive")
	load := startLoad(t, s.primary)
	var end lsn.LSN
	for range 3 {
		receiver := startTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.proxy.Conninfo(), "--slot=archive", "--no-loop")
		load.waitCommits(t, 100)
		s.primary.Exec(t, "SELECT pg_switch_wal()")
		load.waitCommits(t, 100)
		s.proxy.Kill9(t)
		if err := <-receiver.done; err == nil {
			t.Error("pg_receivewal --no-loop ended well although its server died")
		}
		receiver.done <- nil
		s.proxy.Start(t)
		end = s.primary.CurrentLSN(t)
	}
	s.primary.Exec(t, "SELECT pg_switch_wal()")
	load.waitCommits(t, 1)
	load.stopLoad(t)
	in.RunTool(t, dir, "pg_receivewal", "-D", dir, "-d", s.proxy.Conninfo(), "--slot=archive", "--no-loop",
		fmt.Sprintf("--endpos=%v", end))
	s.verify(t)
	compareArchive(t, s, dir, 3)
}
