package quorum

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func flushOf(r scene.StandbyRow) lsn.LSN { return r.Flush }

func applyOf(r scene.StandbyRow) lsn.LSN { return r.Replay }

// A commit on the primary waits until the proxy's rule is covered and no longer. Each level waits for its own
// position, and goes on by itself when standbys come back.
func TestCommitWaitsForTheRule(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		s := newQuorumSite(t, in, "ANY 2 (s1, s2, s3)", 3)
		for _, level := range []string{"remote_write", "on", "remote_apply"} {
			s.Begin(t, level).Released(t)
		}
		s.WaitStates(t, "s1 quorum 1", "s2 quorum 1", "s3 quorum 1")

		// Replay is paused on two of three: on is released, remote_apply is not.
		s.Standbys[1].Exec(t, "SELECT pg_wal_replay_pause()")
		s.Standbys[2].Exec(t, "SELECT pg_wal_replay_pause()")
		c := s.Begin(t, "remote_apply")
		s.Begin(t, "on").Released(t)
		s.Held(t, c, applyOf, "s1")
		s.Standbys[1].Exec(t, "SELECT pg_wal_replay_resume()")
		c.Released(t)
		s.Standbys[2].Exec(t, "SELECT pg_wal_replay_resume()")

		// Two of three don't receive: nothing is released, whatever the level.
		resume := scene.Pause(t, s.Standbys[0])
		scene.Pause(t, s.Standbys[1])
		all := []*scene.Commit{s.Begin(t, "remote_write"), s.Begin(t, "on"), s.Begin(t, "remote_apply")}
		for _, c := range all {
			s.Held(t, c, flushOf, "s3")
		}
		resume()
		for _, c := range all {
			c.Released(t)
		}
	}, 15, 18)
}
