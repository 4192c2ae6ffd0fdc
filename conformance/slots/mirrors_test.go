package slots

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestMirrorsBeforeReports: the first commit that a new primary confirms finds the mirrors there, as
// whoever fails over next relies on both (R18).
func TestMirrorsBeforeReports(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newMirrored(t, in)
		c.Failover(t)
		// The commit waits for the proxy's first report; what comes after it sees the slots as they were then.
		rows := c.Candidate.SQL(t, "BEGIN; INSERT INTO load (pad) VALUES ('first'); COMMIT; "+
			"SELECT slot_name FROM pg_replication_slots WHERE slot_name IN ('s1', 's2') ORDER BY 1")
		if len(rows) != 2 {
			t.Errorf("mirrors at the first confirmed commit: %v", rows)
		}
		c.Follows(t, c.Candidate, 2)
	}, 17, 18)
}

// TestMirrorsRefused: a new primary has no slot left for mirrors. That holds nobody for ever, and is said.
func TestMirrorsRefused(t *testing.T) {
	t.Parallel()
	c := newMirrored(t, pgtest.Need(t, 17), "max_replication_slots = 2") // the proxy's own one, and one more
	c.Failover(t)
	c.Candidate.Exec(t, "INSERT INTO load (pad) VALUES ('confirmed all the same')")
	scene.Warned(t, c.Proxy, "slots are not mirrored on the upstream")
	scene.Logged(t, "the proxy", c.Proxy.Log, "slots are not mirrored on the upstream")
	if got := scene.Metric(t, c.Proxy, "replproxy_walreceiver_mirrors_missing_state"); got != "1" {
		t.Errorf("the metric is %q", got)
	}
	scene.Command(t, c.Proxy, "DROP_REPLICATION_SLOT s2")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the warning to go", func() (bool, error) {
		return scene.Status(t, c.Proxy).Upstream.Mirrors == "", nil
	})
}

// newMirrored is a cluster whose candidate will wait for the proxy, with two mirrored slots.
func newMirrored(t *testing.T, in *pgtest.Install, candidate ...string) *scene.Cluster {
	t.Helper()
	settings := pgtest.Settings("wal_keep_size = 2GB")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"),
		pgtest.Settings(append(candidate, "synchronous_standby_names = 'proxy'")...))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(c.Primary, c.Candidate), Config: "slots: {mirror: presence}\nfeedback: {settle: 1s}\n",
	})
	c.Primary.Exec(t, scene.LoadTable)
	for _, name := range []string{"s1", "s2"} {
		scene.Command(t, c.Proxy, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirrors on the first primary", func() (bool, error) {
		return c.Primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('s1', 's2')") == "2", nil
	})
	return c
}
