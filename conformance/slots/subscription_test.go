package slots

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A subscription through the proxy goes on after a failover. Its slot has been synchronised to the standby behind the
// proxy, by the mirror of that standby's slot, and the subscriber finds the new primary at the same address.
func TestSubscriptionThroughFailover(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		settings := pgtest.Settings("wal_level = logical", "wal_keep_size = 1GB", "hot_standby_feedback = on",
			"wal_receiver_status_interval = 1s", "wal_retrieve_retry_interval = 100ms")
		primary := in.Primary(t, settings)
		candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("candidate"),
			pgtest.Settings("sync_replication_slots = on", "cluster_name = 'candidate'"))
		s := &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
			Upstream: scene.Hosts(primary, candidate),
			Config:   "feedback: {settle: 1s}\nslots: {mirror: true}\nupstream: {connect_wait: 1min}\n",
		})}
		s.CreateSlot(t, "candidate")
		candidate.Set(t, "primary_slot_name = 'candidate'", "primary_conninfo = '"+s.Proxy.Conninfo("dbname=postgres")+"'")
		candidate.Reload()

		const table = "CREATE TABLE t (id int PRIMARY KEY)"
		primary.Exec(t, table+"; INSERT INTO t SELECT generate_series(1, 1000); CREATE PUBLICATION p FOR TABLE t")
		subscriber := in.Primary(t, pgtest.Name("subscriber"), pgtest.Settings("wal_retrieve_retry_interval = 100ms"))
		subscriber.Exec(t, table)
		subscriber.Exec(t, fmt.Sprintf("CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION p WITH (failover = true)",
			s.Proxy.Conninfo("dbname=postgres")))
		rows := func(n int) {
			t.Helper()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("%d rows at the subscriber", n), func() (bool, error) {
				return subscriber.Scalar(t, "SELECT count(*) FROM t") == fmt.Sprint(n), nil
			})
		}
		rows(1000)
		n, added := 1000, time.Time{}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the subscription's slot on the standby", func() (bool, error) {
			if time.Since(added) > time.Second { // the slot has to move before it is taken over for good
				n, added = n+1, time.Now()
				primary.Exec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
			}
			rows := candidate.SQL(t, "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'sub'")
			return len(rows) == 1 && rows[0][0] == "t", nil
		})
		rows(n)

		primary.Stop(t, pgtest.Fast)
		candidate.Promote(t)
		candidate.Exec(t, fmt.Sprintf("INSERT INTO t SELECT generate_series(%d, %d)", n+1, n+500))
		rows(n + 500)
		if got := subscriber.Scalar(t, "SELECT count(*) FROM t WHERE id NOT BETWEEN 1 AND "+fmt.Sprint(n+500)); got != "0" {
			t.Errorf("%s rows that nobody wrote", got)
		}
		pgtest.EqualTable(t, candidate, subscriber, "t")
		subscriber.Exec(t, "DROP SUBSCRIPTION sub")
	}, 17, 18)
}
