package quorum

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestVoteWithdrawnWithoutSpace: the only standby sleeps, and the volume runs out of space while it holds
// little but WAL for which the store voted. The store stops voting instead of deleting any (R4), says so,
// and votes again when the standby has that WAL.
func TestVoteWithdrawnWithoutSpace(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, _ := scene.OnVolume(t, in, "128m", scene.RuleFile("ANY 1 (proxy, s1)")+"wal: {keep_size: 16MB}\n")
	standby := s.Standby(t, "s1", "")
	pgtest.WaitCaughtUp(t, s.Primary, standby)
	vote := func() (v admin.QuorumVoter) {
		for _, v = range scene.Status(t, s.Proxy).Quorum.Voters {
			if v.Name == s.Proxy.Name {
				return v
			}
		}
		return v
	}
	if v := vote(); v.Standing != "counts" {
		t.Errorf("before: %+v", v)
	}
	at := standby.ReplayLSN(t)
	standby.Stop(t, pgtest.Fast)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the vote to be withdrawn", func() (bool, error) {
		if scene.Status(t, s.Proxy).Quorum.Withdrawn {
			return true, nil
		}
		scene.Fill(t, s.Primary, 5)
		return false, nil
	})
	if v := vote(); !strings.HasPrefix(v.Standing, "withdrawn") {
		t.Errorf("withdrawn: %+v", v)
	}
	if got := scene.Metric(t, s.Proxy, "replproxy_quorum_own_vote_withdrawn_state"); got != "1" {
		t.Errorf("the metric is %q", got)
	}
	if st := scene.Status(t, s.Proxy).Store; st.Oldest > at {
		t.Errorf("WAL from %s on is left, the only standby has it up to %s", st.Oldest, at)
	}
	scene.Warned(t, s.Proxy, "this store does not vote")
	scene.Logged(t, "the proxy", s.Proxy.Log, "its vote is withdrawn until standbys have flushed that WAL")
	// Once it takes no more WAL, the primary does not keep it for a store without a vote (ruling R40).
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "receiving to stop", func() (bool, error) {
		if scene.Status(t, s.Proxy).Store.Paused {
			return true, nil
		}
		scene.Fill(t, s.Primary, 5)
		return false, nil
	})
	scene.Fill(t, s.Primary, 20)
	held := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, time.Minute, "the primary to keep no WAL for it", func() (bool, error) {
		return s.Primary.Scalar(t, "SELECT restart_lsn >= '"+held.String()+"' FROM pg_replication_slots") == "t", nil
	})
	if st := scene.Status(t, s.Proxy).Store; st.Oldest > at || st.Received >= held {
		t.Errorf("WAL from %s to %s is here, the only standby has it up to %s", st.Oldest, st.Received, at)
	}
	standby.Start(t) // and gets all that was written meanwhile
	pgtest.WaitCaughtUp(t, s.Primary, standby)
	scene.Logged(t, "the proxy", s.Proxy.Log, "the store votes again")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to vote", func() (bool, error) {
		return vote().Standing == "counts" && !scene.Status(t, s.Proxy).Quorum.Withdrawn, nil
	})
	s.Verify(t, standby)
}
