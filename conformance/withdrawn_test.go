package conformance

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestVoteWithdrawnWithoutSpace: the only standby sleeps, and the volume runs out of space while it holds
// little but WAL for which the store voted. The store stops voting instead of deleting any (R4), says so,
// and votes again when the standby has that WAL.
func TestVoteWithdrawnWithoutSpace(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s, _ := onVolume(t, in, "128m", ruleFile("ANY 1 (proxy, s1)")+"wal: {keep_size: 16MB}\n")
	standby := s.standby(t, "s1", "")
	pgtest.WaitCaughtUp(t, s.primary, standby)
	vote := func() (v admin.QuorumVoter) {
		for _, v = range status(t, s.proxy).Quorum.Voters {
			if v.Name == s.proxy.Name {
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
		if status(t, s.proxy).Quorum.Withdrawn {
			return true, nil
		}
		fill(t, s.primary, 5)
		return false, nil
	})
	if v := vote(); !strings.HasPrefix(v.Standing, "withdrawn") {
		t.Errorf("withdrawn: %+v", v)
	}
	if got := metric(t, s.proxy, "replproxy_quorum_own_vote_withdrawn_state"); got != "1" {
		t.Errorf("the metric is %q", got)
	}
	if st := status(t, s.proxy).Store; st.Oldest > at {
		t.Errorf("WAL from %s on is left, the only standby has it up to %s", st.Oldest, at)
	}
	warned(t, s.proxy, "this store does not vote")
	logged(t, "the proxy", s.proxy.Log, "its vote is withdrawn until standbys have flushed that WAL")
	standby.Start(t) // and gets all that was written meanwhile
	pgtest.WaitCaughtUp(t, s.primary, standby)
	logged(t, "the proxy", s.proxy.Log, "the store votes again")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to vote", func() (bool, error) {
		return vote().Standing == "counts" && !status(t, s.proxy).Quorum.Withdrawn, nil
	})
	s.verify(t, standby)
}
