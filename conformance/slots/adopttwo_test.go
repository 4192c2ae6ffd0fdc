package slots

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Two standbys ask two proxies of a cluster for one slot of the primary at the same moment. One proxy takes it over,
// and the other says who has it, as a primary would say to the second standby (R16, R17).
func TestSlotAdoptedByOneOfTwoProxies(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"))
	primary.Exec(t, "CREATE TABLE t AS SELECT 1 AS i")
	all := scene.ClusterOf(t, primary.Conninfo(), "", "a", "b")
	waitShared(t, all...)
	fast := pgtest.Settings("wal_retrieve_retry_interval = 100ms")
	standbys := []*pgtest.Server{
		scene.StandbyOf(t, primary, all[0], "s1", "", fast), scene.StandbyOf(t, primary, all[1], "s2", "", fast),
	}
	primary.Exec(t, "SELECT pg_create_physical_replication_slot('x', true)")
	before := primary.QueryRow(t, scene.RealSlot+"x'")
	for _, s := range standbys {
		s.Set(t, "primary_slot_name = 'x'")
	}
	for _, s := range standbys {
		s.Reload()
	}
	has := -1
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "one standby to have the slot, the other to hear so", func() (bool, error) {
		var owners []string
		active := 0
		for i, p := range all {
			slot := scene.ProxySlot(t, p, "x")
			owners = append(owners, slot.Owner)
			if slot.Active && slot.Real == "adopted" && slot.Owner == p.Name {
				has = i
				active++
			}
		}
		if active > 1 {
			t.Fatal("both proxies serve by the slot")
		}
		return active == 1 && owners[0] == owners[1] &&
			strings.Contains(standbys[1-has].Log(), `replication slot "x" is active for PID`), nil
	})
	first := standbys[has]
	scene.Fill(t, primary, 5)
	pgtest.WaitCaughtUp(t, primary, first)
	first.Set(t, "primary_slot_name = ''")
	first.Reload()
	primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
		pgtest.EqualTable(t, primary, s, "t")
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to follow the second one", func() (bool, error) {
		slot := scene.ProxySlot(t, all[1-has], "x")
		row := primary.QueryRow(t, scene.RealSlot+"x'")
		return slot.Active && slot.Owner == all[1-has].Name && row[0] == "f" &&
			scene.ParseLSN(t, row[1]) > scene.ParseLSN(t, before[1]), nil
	})
}
