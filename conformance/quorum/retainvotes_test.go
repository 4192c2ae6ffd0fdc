package quorum

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// A member without standbys of its own keeps no more WAL than others do. It keeps none for a vote that no rule counts,
// and none that a standby at another member has flushed. WAL that nobody applies stays, and status says so long before
// the disk is full (ruling R40).
func TestMemberWithoutStandbys(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	const config = "wal:\n  keep_size: 16MB\n"
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (s1)")+config, "a", "b")
	a, b := all[0], all[1]
	standby := scene.StandbyOf(t, primary, b, "s1", "")
	scene.WaitSatisfiable(t, all...)
	start := scene.Status(t, a).Store.Oldest
	switchTo := func(segments int) lsn.LSN {
		t.Helper()
		for range segments {
			primary.Exec(t, "INSERT INTO q VALUES (1)")
			primary.SQL(t, "SELECT pg_switch_wal()")
		}
		return primary.CurrentLSN(t)
	}
	removedUpTo := func(p *pgtest.Proxy, at lsn.LSN, what string) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, p.Name+" to remove "+what, func() (bool, error) {
			switchTo(4) // removal is considered with each segment
			return scene.Status(t, p).Store.Oldest >= at, nil
		})
	}
	at := switchTo(20)
	removedUpTo(a, at, "what no rule lets it vote for")

	// Now it votes. What the standby of the other member has flushed goes, what it has not stays.
	for _, p := range all {
		p.Replace(t, "ANY 1 (s1)", "ANY 2 (a, s1)")
		p.Signal(syscall.SIGHUP)
		pgtest.WaitFor(t, time.Minute, p.Name+" to have the new rule", func() (bool, error) {
			return scene.Status(t, p).Quorum.Rule == "ANY 2 (a, s1)", nil
		})
	}
	scene.WaitSatisfiable(t, all...)
	at = switchTo(20)
	removedUpTo(a, at, "what a standby of b has")
	resume := scene.Pause(t, standby)
	held := primary.CurrentLSN(t)
	at = switchTo(36)
	pgtest.WaitFor(t, time.Minute, "a warning about WAL that is kept for a vote", func() (bool, error) {
		s := scene.Status(t, a)
		return s.Store.Flushed >= at && s.Store.VotedBytes > 0 &&
			slices.ContainsFunc(s.Warnings, func(w string) bool {
				return strings.Contains(w, "is kept for no other reason than that this store voted for it")
			}), nil
	})
	if oldest := scene.Status(t, a).Store.Oldest; oldest > held || oldest <= start {
		t.Errorf("a has WAL from %s on, no standby has any beyond %s", oldest, held)
	}
	resume()
	removedUpTo(a, at, "what the standby has again")
}
