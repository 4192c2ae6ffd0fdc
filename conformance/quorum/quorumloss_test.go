package quorum

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// While a rule cannot be satisfied commits wait, through a kill -9 of the proxy as well, and status names who is
// missing. They are released by themselves when standbys are back. FIRST moves on to the next standby when the one
// before is gone, and returns.
func TestCommitsWaitAndResume(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "FIRST 1 (s1, s2)", 2)
	s.Begin(t, "on").Released(t)
	s.WaitStates(t, "s1 sync 1", "s2 potential 2")
	s.Standbys[0].Kill9(t)
	s.Begin(t, "on").Released(t) // s2 counts now
	s.WaitStates(t, "s2 sync 2")

	s.Standbys[1].Stop(t, pgtest.Fast)
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf)
	s.WaitWarning(t, "commits on the primary that wait for this proxy wait: FIRST 1 (s1, s2) has 0 candidates")
	if q := scene.Status(t, s.Proxy).Quorum; len(q.Levels) != 3 || q.Levels[1].Satisfiable || isZero(q.Levels[1].Behind) ||
		len(q.Voters) != 3 || q.Voters[1].Standing != "not attached anywhere" {
		t.Errorf("status says %+v", q)
	}
	s.Proxy.Kill9(t)
	s.Proxy.Start(t)
	s.Held(t, c, flushOf)
	s.Standbys[1].Start(t)
	c.Released(t)
	s.Standbys[0].Start(t)
	s.WaitStates(t, "s1 sync 1", "s2 potential 2")

	// s1 has the higher priority again, whatever s2 has; until the rule is changed.
	scene.Pause(t, s.Standbys[0])
	c = s.Begin(t, "on")
	s.Held(t, c, flushOf, "s2")
	if now := scene.Reload(t, s.Proxy, scene.RuleFile("ANY 1 (s1, s2)")); now.LastError != "" || len(now.Pending) > 0 {
		t.Errorf("reload: %+v", now)
	}
	c.Released(t)
	s.WaitStates(t, "s1 quorum 1", "s2 quorum 1")
}

// A fenced proxy never again releases a commit of that timeline, also after kill -9.
func TestFence(t *testing.T) {
	in := pgtest.Usual(t)
	s := newQuorumSite(t, in, "ANY 1 (s1)", 1)
	s.Begin(t, "on").Released(t)
	fence := func(args ...string) (string, error) {
		out, err := exec.Command(pgtest.Binary(t), append(args, "--data-dir", s.Proxy.DataDir)...).CombinedOutput()
		return string(out), err
	}
	if out, err := fence("fence", "--timeline", "11"); err == nil || !strings.Contains(out, "above timeline 1, the highest that is known") {
		t.Errorf("a typing error is for good: %v, %s", err, out)
	}
	s.Begin(t, "on").Released(t)
	out, err := fence("fence", "--timeline", "1")
	if err != nil || !strings.Contains(out, "proxy is fenced up to timeline 1; its store is durable up to 0/") {
		t.Fatalf("%v: %s", err, out)
	}
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	s.WaitWarning(t, "this node is fenced on this timeline")
	const refused = "proxy is fenced on timeline 1, which is for good: no commit there is confirmed any more"
	if out, err := fence("accept-timeline", "1"); err == nil || !strings.Contains(out, refused) {
		t.Errorf("WAL is given up for a primary whose commits would wait for ever: %v, %s", err, out)
	}
	s.Proxy.Kill9(t)
	s.Proxy.Start(t)
	s.Held(t, c, flushOf, "s1")
	if out, err := fence("fence", "--timeline", "3", "--force"); err != nil || !strings.Contains(out, "fenced up to timeline 3;") {
		t.Errorf("%v: %s", err, out)
	}
}

// The proxy's own store is a voter under its name, and WAL-only voters satisfy on, but never remote_apply.
func TestStoresVote(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := newQuorumSite(t, in, "ANY 2 (proxy, pg_receivewal)", 0)
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf) // the store alone is not enough
	s.CreateSlot(t, "files")
	dir := in.TempDir(t)
	scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.Proxy.Conninfo(), "--synchronous", "--slot", "files", "--no-loop")
	c.Released(t)
	s.Begin(t, "remote_write").Released(t)
	apply := s.Begin(t, "remote_apply")
	s.Held(t, apply, flushOf, "pg_receivewal")
	if l := scene.Status(t, s.Proxy).Quorum.Levels[2]; l.Satisfiable || !strings.Contains(l.Why, "too few of its 2 candidates report apply") {
		t.Errorf("apply: %+v", l)
	}
	s.Primary.Set(t, "synchronous_standby_names = ''")
	s.Primary.Reload()
	apply.Released(t)
}

// Two standbys of one name are two voters, once both are known to be different; one standby that has
// left a dead session behind is one.
func TestSharedName(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1)", 1)
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	twin := s.Standby(t, "twin", "", pgtest.Settings("cluster_name = 's1'"))
	pgtest.WaitFor(t, time.Minute, "both to count", func() (bool, error) {
		s.Nudge(t)
		return len(c.Done) > 0, nil
	})
	c.Released(t)
	s.WaitWarning(t, "the rule counts s1, a name that several standbys have")

	// The walreceiver of one hangs, its postmaster is killed: its session at the proxy stays. A second
	// session of that same standby must not vote beside it.
	s.Begin(t, "on").Released(t)
	scene.Pause(t, twin)
	c = s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	twin.Kill9(t)
	s.Held(t, c, flushOf, "s1")
	twin.Start(t)
	c.Released(t)
}

func isZero(n *int64) bool { return n != nil && *n == 0 }
