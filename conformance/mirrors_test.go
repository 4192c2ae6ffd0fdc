package conformance

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestMirrorsBeforeReports: the first commit that a new primary confirms finds the mirrors there, as
// whoever fails over next relies on both (R18).
func TestMirrorsBeforeReports(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newMirrored(t, in)
		c.failover(t)
		// The commit waits for the proxy's first report; what comes after it sees the slots as they were then.
		rows := c.candidate.SQL(t, "BEGIN; INSERT INTO load (pad) VALUES ('first'); COMMIT; "+
			"SELECT slot_name FROM pg_replication_slots WHERE slot_name IN ('s1', 's2') ORDER BY 1")
		if len(rows) != 2 {
			t.Errorf("mirrors at the first confirmed commit: %v", rows)
		}
		c.follows(t, c.candidate, 2)
	}, 17, 18)
}

// TestMirrorsRefused: a new primary has no slot left for mirrors. That holds nobody for ever, and is said.
func TestMirrorsRefused(t *testing.T) {
	t.Parallel()
	c := newMirrored(t, pgtest.Need(t, 17), "max_replication_slots = 2") // the proxy's own one, and one more
	c.failover(t)
	c.candidate.Exec(t, "INSERT INTO load (pad) VALUES ('confirmed all the same')")
	warned(t, c.proxy, "slots are not mirrored on the upstream")
	logged(t, "the proxy", c.proxy.Log, "slots are not mirrored on the upstream")
	if got := metric(t, c.proxy, "replproxy_walreceiver_mirrors_missing_state"); got != "1" {
		t.Errorf("the metric is %q", got)
	}
	command(t, c.proxy, "DROP_REPLICATION_SLOT s2")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the warning to go", func() (bool, error) {
		return status(t, c.proxy).Upstream.Mirrors == "", nil
	})
}

// newMirrored is a cluster whose candidate will wait for the proxy, with two mirrored slots.
func newMirrored(t *testing.T, in *pgtest.Install, candidate ...string) *cluster {
	t.Helper()
	settings := pgtest.Settings("wal_keep_size = 2GB")
	c := &cluster{in: in, primary: in.Primary(t, settings)}
	c.candidate = in.Standby(t, pgtest.StandbyOptions{From: c.primary}, settings, pgtest.Name("candidate"),
		pgtest.Settings(append(candidate, "synchronous_standby_names = 'proxy'")...))
	c.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: hosts(c.primary, c.candidate), Config: "slots: {mirror: presence}\nfeedback: {settle: 1s}\n",
	})
	c.primary.Exec(t, loadTable)
	for _, name := range []string{"s1", "s2"} {
		command(t, c.proxy, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirrors on the first primary", func() (bool, error) {
		return c.primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('s1', 's2')") == "2", nil
	})
	return c
}

// failover kills the primary when the candidate and the proxy have all of its WAL, and promotes.
func (c *cluster) failover(t *testing.T) {
	t.Helper()
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	end := c.primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have all", func() (bool, error) {
		return status(t, c.proxy).Store.Flushed >= end, nil
	})
	c.primary.Stop(t, pgtest.Immediate)
	c.candidate.Promote(t)
}
