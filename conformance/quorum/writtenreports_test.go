package quorum

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

// losesPower ends a proxy as its machine's end would, as far as the proxy can tell: another boot is noted in data_dir.
func losesPower(t *testing.T, p *pgtest.Proxy) {
	t.Helper()
	p.Kill9(t)
	path := filepath.Join(p.DataDir, "life")
	life, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && (vfs.OS{}).Life(p.DataDir) == "" {
		return // this kernel does not know it: each end counts as the machine's
	}
	if err != nil {
		t.Fatal(err)
	}
	life[len("#replproxy-life/1\n")]++
	if err := os.WriteFile(path, life, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWrittenReportsOnAPrimary: with wal.report: written commits go on as ever, through kill -9 and a change of wal.report. After a power loss the
// store owes what may have been reported. The primary's answer says how much, and nothing of it is left.
func TestWrittenReportsOnAPrimary(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		file := func(report string) string {
			return scene.RuleFile("ANY 1 (s1)") + "wal: {report: " + report + "}\n"
		}
		s := &scene.QuorumSite{Site: scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: file("written")})}
		s.Primary.Exec(t, "CREATE TABLE q (n int)")
		s.Standbys = append(s.Standbys, s.Standby(t, "s1", ""))
		s.WaitSync(t)
		follows := func(want string) {
			t.Helper()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "reports to follow what is "+want, func() (bool, error) {
				return scene.Status(t, s.Proxy).Upstream.ReportFollows == want, nil
			})
		}
		follows("written")
		for range 5 {
			s.Begin(t, "on").Released(t)
		}
		scene.Reload(t, s.Proxy, file("flushed"))
		follows("flushed")
		s.Begin(t, "on").Released(t)
		scene.Reload(t, s.Proxy, file("written"))
		follows("written")
		s.Begin(t, "remote_apply").Released(t)
		s.Proxy.Kill9(t)
		s.Proxy.Start(t)
		s.Begin(t, "on").Released(t)
		known := vfs.OS{}.Life(s.Proxy.DataDir) != "" // by this kernel
		if known && strings.Contains(s.Proxy.Log(), "WAL may have been reported") {
			t.Error("after kill -9 something is owed")
		}
		losesPower(t, s.Proxy)
		s.Proxy.Start(t)
		s.Begin(t, "on").Released(t)
		if log := s.Proxy.Log(); !strings.Contains(log, "WAL may have been reported") || !strings.Contains(log, "the primary has said where it is") {
			t.Error("after a power loss nothing is owed")
		}
		follows("written")
		if st := scene.Status(t, s.Proxy).Store; st.RepairTo != 0 {
			t.Errorf("%s is still owed", st.RepairTo)
		}
		s.Verify(t, s.Standbys...)
	}, 14, 18)
}

// TestOwingForReports: a power loss leaves open how much was reported, and the primary is dead. tail and fence name
// no end then.
func TestOwingForReports(t *testing.T) {
	t.Parallel()
	s := &scene.QuorumSite{Site: scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{
		Config: scene.RuleFile("ANY 1 (s1)") + "wal: {report: written}\n",
	})}
	s.Primary.Exec(t, "CREATE TABLE q (n int)")
	s.Standby(t, "s1", "")
	s.WaitSync(t)
	for range 3 {
		s.Begin(t, "on").Released(t)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "reports to follow what is written", func() (bool, error) {
		return scene.Status(t, s.Proxy).Upstream.ReportFollows == "written", nil
	})
	losesPower(t, s.Proxy)
	s.Primary.Stop(t, pgtest.Immediate)
	s.Proxy.StartNoWait(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to owe WAL", func() (bool, error) {
		_, body, err := s.Proxy.Get(t.Context(), "/status")
		return err == nil && strings.Contains(string(body), `"repair_to_lsn"`), nil
	})
	run := func(args ...string) string {
		out, err := exec.Command(pgtest.Binary(t), append(args, "--data-dir", s.Proxy.DataDir)...).CombinedOutput()
		if err == nil {
			t.Errorf("%v succeeded: %s", args, out)
		}
		return string(out)
	}
	if out := run("fence", "--timeline", "1"); !strings.Contains(out, "its end is not known") {
		t.Errorf("fence says: %s", out)
	}
	if out := run("tail", "--timeline", "1", "--candidate", "s1"); !strings.Contains(out, "its store owes WAL up to") {
		t.Errorf("tail says: %s", out)
	}
}
