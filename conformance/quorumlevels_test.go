package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

func syncText(r admin.Standby) string {
	return fmt.Sprintf("%s %s %d", r.ApplicationName, r.SyncState, r.SyncPriority)
}

type standbyRow admin.Standby

func flushOf(r standbyRow) lsn.LSN { return r.Flush }
func applyOf(r standbyRow) lsn.LSN { return r.Replay }

// A commit on the primary waits until the proxy's rule is covered and no longer: at each level by what
// that level means, and by itself again when standbys come back.
func TestCommitWaitsForTheRule(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		s := newQuorumSite(t, in, "ANY 2 (s1, s2, s3)", 3)
		for _, level := range []string{"remote_write", "on", "remote_apply"} {
			s.begin(t, level).released(t)
		}
		s.waitStates(t, "s1 quorum 1", "s2 quorum 1", "s3 quorum 1")

		// Replay is paused on two of three: on is released, remote_apply is not.
		s.standbys[1].Exec(t, "SELECT pg_wal_replay_pause()")
		s.standbys[2].Exec(t, "SELECT pg_wal_replay_pause()")
		c := s.begin(t, "remote_apply")
		s.begin(t, "on").released(t)
		s.held(t, c, applyOf, "s1")
		s.standbys[1].Exec(t, "SELECT pg_wal_replay_resume()")
		c.released(t)
		s.standbys[2].Exec(t, "SELECT pg_wal_replay_resume()")

		// Two of three don't receive: nothing is released, whatever the level.
		resume := pause(t, s.standbys[0])
		pause(t, s.standbys[1])
		all := []*commit{s.begin(t, "remote_write"), s.begin(t, "on"), s.begin(t, "remote_apply")}
		for _, c := range all {
			s.held(t, c, flushOf, "s3")
		}
		resume()
		for _, c := range all {
			c.released(t)
		}
	}, 15, 18)
}

// waitStates waits until the proxy shows exactly these standbys, as "name sync_state sync_priority".
func (s *quorumSite) waitStates(t *testing.T, want ...string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "sync states", func() (bool, error) {
		rows := status(t, s.proxy).Standbys
		if len(rows) != len(want) {
			return false, nil
		}
		have := map[string]bool{}
		for _, r := range rows {
			have[syncText(r)] = true
		}
		for _, w := range want {
			if !have[w] {
				return false, nil
			}
		}
		return true, nil
	})
}
