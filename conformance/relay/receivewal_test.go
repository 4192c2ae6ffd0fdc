package relay

import (
	"fmt"
	"os"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

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
				s := scene.NewSite(t, in)
				dir := in.TempDir(t)
				args := append([]string{"-D", dir, "-d", s.Proxy.Conninfo(), "--no-loop"}, way.args...)
				if way.slot {
					in.RunTool(t, dir, "pg_receivewal", "-d", s.Proxy.Conninfo(), "--create-slot", "--slot=archive")
					args = append(args, "--slot=archive")
				}
				end := (s.Primary.SegSize(t).Floor(s.Primary.CurrentLSN(t)) + 3<<24).String()
				receiver := scene.StartTool(t, in, dir, "pg_receivewal", append(args, "--endpos="+end)...)
				scene.Attached(t, s.Proxy, "pg_receivewal") // it begins with the segment of that moment
				load := scene.StartLoad(t, s.Primary)
				for !reached(t, s.Primary, end) {
					load.WaitCommits(t, 50)
					s.Primary.Exec(t, "SELECT pg_switch_wal()")
				}
				load.StopLoad(t)
				receiver.Finish(t)
				s.Verify(t)
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
func compareArchive(t *testing.T, s *scene.Site, dir string, n int) {
	t.Helper()
	upTo := s.Primary.CurrentLSN(t)
	if got := pgtest.EqualSegments(t, s.Primary.SegSize(t), upTo, dir, s.Primary.WALDir()); got < n {
		entries, _ := os.ReadDir(dir)
		t.Errorf("%d segments compared, want at least %d; there are %v", got, n, entries)
	}
}

// pg_receivewal --synchronous tells what it flushed at once, and its slot moves with it.
func TestReceiveWALReportsFlush(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := scene.NewSite(t, in)
	dir := in.TempDir(t)
	in.RunTool(t, dir, "pg_receivewal", "-d", s.Proxy.Conninfo(), "--create-slot", "--slot=archive")
	receiver := scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.Proxy.Conninfo("application_name=archive"),
		"--slot=archive", "--synchronous", "--no-loop", "--status-interval=600")
	s.Primary.Exec(t, scene.LoadTable+"; INSERT INTO load (pad) VALUES ('x')")
	at := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "pg_receivewal to report "+at.String(), func() (bool, error) {
		st := scene.Status(t, s.Proxy)
		if len(st.Standbys) != 1 || len(st.Slots) != 1 {
			return false, nil
		}
		row := st.Standbys[0]
		return row.ApplicationName == "archive" && row.Flush >= at && st.Slots[0].Restart >= at, nil
	})
	_ = receiver.Cmd.Process.Signal(os.Interrupt)
	receiver.Finish(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the session to end", func() (bool, error) {
		st := scene.Status(t, s.Proxy)
		return len(st.Standbys) == 0 && !st.Slots[0].Active, nil
	})
	s.Verify(t)
}

// pg_receivewal resumes at the start of its unfinished segment after the proxy was killed.
func TestReceiveWALResumes(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := scene.NewSite(t, in)
	dir := in.TempDir(t)
	in.RunTool(t, dir, "pg_receivewal", "-d", s.Proxy.Conninfo(), "--create-slot", "--slot=archive")
	load := scene.StartLoad(t, s.Primary)
	var end lsn.LSN
	for range 3 {
		receiver := scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.Proxy.Conninfo(), "--slot=archive", "--no-loop")
		load.WaitCommits(t, 100)
		s.Primary.Exec(t, "SELECT pg_switch_wal()")
		load.WaitCommits(t, 100)
		s.Proxy.Kill9(t)
		if err := <-receiver.Done; err == nil {
			t.Error("pg_receivewal --no-loop ended well although its server died")
		}
		receiver.Done <- nil
		s.Proxy.Start(t)
		end = s.Primary.CurrentLSN(t)
	}
	s.Primary.Exec(t, "SELECT pg_switch_wal()")
	load.WaitCommits(t, 1)
	load.StopLoad(t)
	in.RunTool(t, dir, "pg_receivewal", "-D", dir, "-d", s.Proxy.Conninfo(), "--slot=archive", "--no-loop",
		fmt.Sprintf("--endpos=%v", end))
	s.Verify(t)
	compareArchive(t, s, dir, 3)
}
