package failover

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// The primary is gone for good, and the proxy that has most of its WAL was restarted since, as after the loss of a
// rack's power. It has heard from no primary since its start, and log-ins are relayed. Both are fenced: the other one
// takes the tail from it.
func TestRestartedMemberFeeds(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (a, b)"), "a", "b")
	a, b := all[0], all[1]
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	primary.Exec(t, "INSERT INTO q VALUES (1)")
	flushed(t, b, primary.CurrentLSN(t))
	b.Terminate(t)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 3000)") // acknowledged by a
	at := primary.CurrentLSN(t)
	flushed(t, a, at)
	primary.Kill9(t)
	a.Kill9(t)
	for _, p := range all {
		p.StartNoWait(t)
		pgtest.WaitFor(t, time.Minute, p.Name+" to answer", func() (bool, error) {
			code, _, err := p.Get(t.Context(), "/status")
			return err == nil && code == 200, nil
		})
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	pgtest.WaitFor(t, time.Minute, "b to take the tail from a", func() (bool, error) {
		return scene.Status(t, b).Store.Flushed >= at, nil
	})
}
