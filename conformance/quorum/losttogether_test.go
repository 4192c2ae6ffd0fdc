package quorum

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestLostTogether: the machine of a proxy that reports written WAL loses power, and its primary comes back without
// commits that were acknowledged. It writes on until it has more WAL than it had. The standby that has those commits
// shows that, and no commit is acknowledged on the primary. One that came back with all is followed once the voters
// have come.
func TestLostTogether(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"all is there": false, "commits are lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scene.QuorumSite{Site: scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{
				Config: scene.RuleFile("ANY 1 (s1)") + "wal: {report: written}\n",
			})}
			s.Primary.Exec(t, "CREATE TABLE q (n int)")
			s1 := s.Standby(t, "s1", "")
			s.Standbys = append(s.Standbys, s1)
			s.WaitSync(t)
			s.Begin(t, "on").Released(t)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "reports to follow what is written", func() (bool, error) {
				return scene.Status(t, s.Proxy).Upstream.ReportFollows == "written", nil
			})
			s.Primary.Exec(t, "CHECKPOINT")
			pgtest.WaitCaughtUp(t, s.Primary, s1)
			flushed := s.Primary.CurrentLSN(t)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have flushed it all", func() (bool, error) {
				return scene.Status(t, s.Proxy).Store.Flushed >= flushed, nil
			})
			store, primary := copyOf(t, s.Proxy.DataDir), copyOf(t, s.Primary.Dir)
			for range 3 {
				s.Begin(t, "on").Released(t)
			}
			had := s.Primary.CurrentLSN(t)
			s1.Stop(t, pgtest.Immediate)
			losesPower(t, s.Proxy)
			s.Primary.Stop(t, pgtest.Immediate)
			for _, name := range []string{"wal", "promised"} {
				copyTo(t, filepath.Join(store, name), filepath.Join(s.Proxy.DataDir, name)) // the rest was not flushed
			}
			if lost {
				copyTo(t, primary, s.Primary.Dir)
				if err := os.Remove(filepath.Join(s.Primary.Dir, "postmaster.pid")); err != nil {
					t.Fatal(err)
				}
			}
			s.Primary.Start(t)
			for s.Primary.CurrentLSN(t) <= had+1<<20 {
				s.Primary.Exec(t, "SET synchronous_commit = local; INSERT INTO q SELECT -1 FROM generate_series(1, 3000)")
			}
			s.Proxy.StartNoWait(t)
			scene.Logged(t, "the proxy", s.Proxy.Log, "the primary went down, and may have lost WAL together with this proxy")
			s1.Start(t)
			if !lost {
				s.Proxy.WaitReady(t)
				s.Begin(t, "on").Released(t)
				s.Verify(t, s1)
				return
			}
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to refuse the primary", func() (bool, error) {
				_, body, err := s.Proxy.Get(t.Context(), "/status")
				return err == nil && strings.Contains(string(body), `"lack":`), nil
			})
			if l := scene.Status(t, s.Proxy).Upstream.Lack; !l.Lost || l.Timeline != 1 || l.From >= l.To || l.To > had {
				t.Errorf("%+v, %s was lost", l, had)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := pgtest.Query(ctx, s.Primary.Conninfo(), "INSERT INTO q VALUES (2)"); err == nil {
				t.Error("a commit on the primary that lost WAL returned")
			}
			if rows := s1.Scalar(t, "SELECT count(*) FROM q"); rows != "4" {
				t.Errorf("the standby has %s rows", rows)
			}
		})
	}
}

// copyOf copies a directory whose files nobody writes at this moment, and returns the copy.
func copyOf(t *testing.T, dir string) (kept string) {
	t.Helper()
	kept = dir + ".kept"
	copyTo(t, dir, kept)
	return kept
}

// copyTo puts a copy of from in the place of to, with its owner and modes.
func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
