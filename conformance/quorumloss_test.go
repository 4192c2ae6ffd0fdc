package conformance

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// While a rule cannot be satisfied commits wait, through a kill -9 of the proxy as well, status names who
// is missing, and they are released by themselves when standbys are back. FIRST moves on to the next
// standby when the one before is gone, and returns.
func TestCommitsWaitAndResume(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "FIRST 1 (s1, s2)", 2)
	s.begin(t, "on").released(t)
	s.waitStates(t, "s1 sync 1", "s2 potential 2")
	s.standbys[0].Kill9(t)
	s.begin(t, "on").released(t) // s2 counts now
	s.waitStates(t, "s2 sync 2")

	s.standbys[1].Stop(t, pgtest.Fast)
	c := s.begin(t, "on")
	s.held(t, c, flushOf)
	s.waitWarning(t, "commits on the primary that wait for this proxy wait: FIRST 1 (s1, s2) has 0 candidates")
	if q := status(t, s.proxy).Quorum; len(q.Levels) != 3 || q.Levels[1].Satisfiable || isZero(q.Levels[1].Behind) ||
		len(q.Voters) != 3 || q.Voters[1].Standing != "not attached anywhere" {
		t.Errorf("status says %+v", q)
	}
	s.proxy.Kill9(t)
	s.proxy.Start(t)
	s.held(t, c, flushOf)
	s.standbys[1].Start(t)
	c.released(t)
	s.standbys[0].Start(t)
	s.waitStates(t, "s1 sync 1", "s2 potential 2")

	// s1 has the higher priority again, whatever s2 has; until the rule is changed.
	pause(t, s.standbys[0])
	c = s.begin(t, "on")
	s.held(t, c, flushOf, "s2")
	if now := reload(t, s.proxy, ruleFile("ANY 1 (s1, s2)")); now.LastError != "" || len(now.Pending) > 0 {
		t.Errorf("reload: %+v", now)
	}
	c.released(t)
	s.waitStates(t, "s1 quorum 1", "s2 quorum 1")
}

func (s *quorumSite) waitWarning(t *testing.T, want string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "the warning "+want, func() (bool, error) {
		all := status(t, s.proxy).Warnings
		return slices.ContainsFunc(all, func(w string) bool { return strings.Contains(w, want) }), nil
	})
}

// A fenced proxy never again releases a commit of that timeline, also after kill -9.
func TestFence(t *testing.T) {
	in := pgtest.Usual(t)
	s := newQuorumSite(t, in, "ANY 1 (s1)", 1)
	s.begin(t, "on").released(t)
	cmd := exec.Command(pgtest.Binary(t), "fence", "--timeline", "1", "--data-dir", s.proxy.DataDir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "proxy is fenced up to timeline 1; its store is durable up to 0/") {
		t.Fatalf("%v: %s", err, out)
	}
	c := s.begin(t, "on")
	s.held(t, c, flushOf, "s1")
	s.waitWarning(t, "this node is fenced on this timeline")
	s.proxy.Kill9(t)
	s.proxy.Start(t)
	s.held(t, c, flushOf, "s1")
}

// The proxy's own store is a voter under its name, and WAL-only voters satisfy on, but never remote_apply.
func TestStoresVote(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := newQuorumSite(t, in, "ANY 2 (proxy, pg_receivewal)", 0)
	c := s.begin(t, "on")
	s.held(t, c, flushOf) // the store alone is not enough
	s.createSlot(t, "files")
	dir := in.TempDir(t)
	startTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.proxy.Conninfo(), "--synchronous", "--slot", "files", "--no-loop")
	c.released(t)
	s.begin(t, "remote_write").released(t)
	apply := s.begin(t, "remote_apply")
	s.held(t, apply, flushOf, "pg_receivewal")
	if l := status(t, s.proxy).Quorum.Levels[2]; l.Satisfiable || !strings.Contains(l.Why, "too few of its 2 candidates report apply") {
		t.Errorf("apply: %+v", l)
	}
	s.primary.Set(t, "synchronous_standby_names = ''")
	s.primary.Reload()
	apply.released(t)
}

// Two standbys of one name are two voters, once both are known to be different; one standby that has
// left a dead session behind is one.
func TestSharedName(t *testing.T) {
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1)", 1)
	c := s.begin(t, "on")
	s.held(t, c, flushOf, "s1")
	twin := s.standby(t, "twin", "", pgtest.Settings("cluster_name = 's1'"))
	pgtest.WaitFor(t, time.Minute, "both to count", func() (bool, error) {
		s.nudge(t)
		return len(c.done) > 0, nil
	})
	c.released(t)
	s.waitWarning(t, "the rule counts s1, a name that several standbys have")

	// The walreceiver of one hangs, its postmaster is killed: its session at the proxy stays. A second
	// session of that same standby must not vote beside it.
	s.begin(t, "on").released(t)
	pause(t, twin)
	c = s.begin(t, "on")
	s.held(t, c, flushOf, "s1")
	twin.Kill9(t)
	s.held(t, c, flushOf, "s1")
	twin.Start(t)
	c.released(t)
}

func isZero(n *int64) bool { return n != nil && *n == 0 }
