package quorum

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestCoveredHoldsStandbysAlone: while the voter stands still, a standby that does not vote is held at the covered
// position. That holds after a restart of the proxy, and for wal-fetch too. pg_basebackup and pg_receivewal come to
// their end all the same, under the standby's name too; a standby that was made so and is ahead is named. A name that
// enters the rule is sent all.
func TestCoveredHoldsStandbysAlone(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := newCoveredSite(t, in)
	report := s.Standby(t, "report_1", "")
	row := s.row(t, "report_1", func(r admin.Standby) bool { return r.SendWhen == "covered" && r.State == "streaming" })
	if row.SyncState != "async" {
		t.Errorf("%+v", row)
	}
	scene.WriteWAL(t, s.Primary, 2)
	pgtest.WaitCaughtUp(t, s.Primary, report) // a voter that keeps up costs it nothing
	resume := scene.Pause(t, s.voter)
	covered := s.row(t, "v", func(admin.Standby) bool { return true }).Flush
	scene.WriteWAL(t, s.Primary, 3)
	end := s.received(t)
	s.heldBelow(t, end, covered)

	segments := in.TempDir(t)
	if code := s.fetch(t, segments, covered); code != 1 {
		t.Errorf("wal-fetch of a segment that is not covered ends with %d", code)
	}
	if code := s.fetch(t, segments, covered-lsn.LSN(s.Primary.SegSize(t))); code != 0 {
		t.Errorf("wal-fetch of a covered segment ends with %d", code)
	}
	files := in.TempDir(t)
	in.RunTool(t, files, "pg_receivewal", "-D", files, "-d", s.Proxy.Conninfo("application_name=report_3"), "--no-loop",
		"--endpos", end.String())

	s.Proxy.Kill9(t)
	s.Proxy.Start(t)
	s.heldBelow(t, end, covered)
	resume()
	s.row(t, "report_1", func(r admin.Standby) bool { return r.Flush >= end })

	pause := scene.Pause(t, s.voter)
	scene.WriteWAL(t, s.Primary, 3)
	made := in.Standby(t, pgtest.StandbyOptions{
		From: s.Primary, BaseBackup: s.Proxy.Conninfo("application_name=report_2"), PrimaryConninfo: s.Proxy.Conninfo(),
	}, pgtest.Name("report_2"))
	s.WaitWarning(t, "standby report_2 has WAL up to")
	s.Proxy.Replace(t, "'v'", "'ANY 1 (v, report_1)'")
	s.Proxy.Signal(syscall.SIGHUP)
	pgtest.WaitCaughtUp(t, s.Primary, report)
	pgtest.WaitCaughtUp(t, s.Primary, made) // what report_1 has is covered
	s.WaitWarning(t, "standbys has send_when: covered for report_1, which the rule counts")
	pause()
}

// coveredSite is a primary, a proxy that holds who does not vote, and a voter.
type coveredSite struct {
	scene.QuorumSite
	voter *pgtest.Server
}

func newCoveredSite(t *testing.T, in *pgtest.Install) *coveredSite {
	t.Helper()
	s := &coveredSite{}
	s.Site = scene.NewSiteWith(t, in, pgtest.ProxyOptions{
		Config: scene.RuleFile("v") + "standbys: {\"report_*\": {send_when: covered}}\n",
	}, pgtest.InitArgs("--wal-segsize=1"))
	s.voter = s.Standby(t, "v", "")
	scene.WaitSatisfiable(t, s.Proxy)
	return s
}

// row waits until what is shown of a standby is as wanted.
func (s *coveredSite) row(t *testing.T, name string, want func(admin.Standby) bool) (row admin.Standby) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, name+" to be as wanted", func() (bool, error) {
		for _, r := range scene.Status(t, s.Proxy).Standbys {
			if r.ApplicationName == name && want(r) {
				row = r
				return true, nil
			}
		}
		return false, nil
	})
	return row
}

// received waits until the store has all WAL of the primary and gives its end.
func (s *coveredSite) received(t *testing.T) lsn.LSN {
	t.Helper()
	end := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to have all", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Flushed >= end, nil
	})
	return end
}

// heldBelow shows that report_1 is held: it has answered since, and was sent nothing beyond what is covered.
func (s *coveredSite) heldBelow(t *testing.T, end, covered lsn.LSN) {
	t.Helper()
	r := s.row(t, "report_1", func(r admin.Standby) bool { return r.SendWhen == "covered" && r.HeldBytes > 0 })
	if r.Sent > covered || r.Flush > covered || r.HeldBytes < int64(end-covered) {
		t.Errorf("covered is %s, the end %s, the standby %+v", covered, end, r)
	}
	if got := scene.Command(t, s.Proxy, "IDENTIFY_SYSTEM")[0][2]; scene.ParseLSN(t, got) < end {
		t.Errorf("IDENTIFY_SYSTEM says %s, received is %s", got, end)
	}
}

// fetch asks for the segment of at as a restore_command does, and gives the exit code.
func (s *coveredSite) fetch(t *testing.T, dir string, at lsn.LSN) int {
	t.Helper()
	size := s.Primary.SegSize(t)
	name := size.FileName(1, size.Segno(at))
	cmd := s.In.Tool(t, dir, pgtest.Binary(t), "wal-fetch", "--from", s.Proxy.Conninfo(), name, filepath.Join(dir, name))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Logf("wal-fetch %s: %s", name, strings.TrimSpace(string(out)))
		return exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != int64(size) {
		t.Errorf("%s: %v, %v", name, info, err)
	}
	return 0
}
