package slots

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestSwapConnectionStrings: a running cluster with slots gets a proxy by a change of primary_conninfo
// and nothing else. The slot is taken over with its xmin, and the primary's holds nothing afterwards.
func TestSwapConnectionStrings(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: "feedback: {settle: 1s}\n"})
	s.Primary.Exec(t, "SELECT pg_create_physical_replication_slot('s1', true)")
	standby := in.Standby(t, pgtest.StandbyOptions{
		From: s.Primary, PrimaryConninfo: s.Primary.Conninfo("application_name=s1"), SlotName: "s1",
	}, pgtest.Name("s1"), pgtest.Settings("hot_standby_feedback = on", "wal_receiver_status_interval = 1s",
		"wal_retrieve_retry_interval = 100ms"))
	load := scene.StartLoad(t, s.Primary)
	load.WaitCommits(t, 50)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "feedback in the primary's slot", func() (bool, error) {
		return s.Primary.QueryRow(t, scene.RealSlot+"s1'")[2] != pgtest.Null, nil
	})
	before := s.Primary.QueryRow(t, scene.RealSlot+"s1'")

	// Somebody else asks for it while the standby is still on the primary.
	ctx, cancel := context.WithTimeout(t.Context(), pgtest.ReplayTimeout)
	defer cancel()
	_, err := pgtest.Query(ctx, s.Proxy.Conninfo("replication=true"), "START_REPLICATION SLOT s1 PHYSICAL "+before[1])
	if err == nil || !strings.Contains(err.Error(), "55006") {
		t.Errorf("an active slot was taken: %v", err)
	}
	if in.Major >= 15 { // 14 does not know the command
		if row := scene.Command(t, s.Proxy, "READ_REPLICATION_SLOT s1"); row[0][0] != "physical" {
			t.Errorf("READ_REPLICATION_SLOT: %v", row)
		}
	}

	standby.Set(t, "primary_conninfo = '"+s.Proxy.Conninfo("application_name=s1")+"'")
	standby.Reload()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be taken over", func() (bool, error) {
		slot := scene.ProxySlot(t, s.Proxy, "s1")
		return slot.Active && slot.Real == "adopted", nil
	})
	load.WaitCommits(t, 50)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary's slot to hold nothing", func() (bool, error) {
		row := s.Primary.QueryRow(t, scene.RealSlot+"s1'")
		return row[0] == "f" && scene.ParseLSN(t, row[1]) > scene.ParseLSN(t, before[1]) && row[2] == pgtest.Null, nil
	})
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby's xmin in the proxy's slot", func() (bool, error) {
		return s.Primary.QueryRow(t, scene.RealSlot+"replproxy_proxy'")[2] != pgtest.Null, nil
	})
	load.StopLoad(t)
	s.Verify(t, standby)

	standby.Stop(t, pgtest.Fast)
	scene.Command(t, s.Proxy, "DROP_REPLICATION_SLOT s1 WAIT")
	if n := s.Primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 's1'"); n != "0" {
		t.Error("the dropped slot still holds WAL on the primary")
	}
}

// TestSlotSynchronisation: a standby behind the proxy synchronises a failover slot, which wants its
// own slot on the primary: the mirror.
func TestSlotSynchronisation(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: "slots: {mirror: true}\nfeedback: {settle: 1s}\n"},
			pgtest.Settings("wal_level = logical"))
		s.CreateSlot(t, "syncer")
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirror", func() (bool, error) {
			rows := s.Primary.SQL(t, scene.RealSlot+"syncer'")
			return len(rows) == 1 && rows[0][0] == "f" && rows[0][1] != pgtest.Null, nil
		})
		s.Primary.Exec(t, "SELECT pg_create_logical_replication_slot('app', 'pgoutput', false, false, true)")
		standby := in.Standby(t, pgtest.StandbyOptions{
			From: s.Primary, PrimaryConninfo: s.Proxy.Conninfo("dbname=postgres"), SlotName: "syncer",
		}, pgtest.Name("syncer"), pgtest.Settings("hot_standby_feedback = on", "sync_replication_slots = on",
			"wal_level = logical", "wal_receiver_status_interval = 1s"))
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 50)
		advance := time.Now()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the failover slot on the standby", func() (bool, error) {
			if time.Since(advance) > time.Second { // the application of the slot goes on
				advance = time.Now()
				s.Primary.Exec(t, "SELECT pg_replication_slot_advance('app', pg_current_wal_lsn())")
			}
			rows := standby.SQL(t, "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'app'")
			return len(rows) == 1 && rows[0][0] == "t", nil
		})
		at := s.Primary.QueryRow(t, scene.RealSlot+"syncer'")[1]
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the mirror to move", func() (bool, error) {
			row := s.Primary.QueryRow(t, scene.RealSlot+"syncer'")
			return row[0] == "f" && scene.ParseLSN(t, row[1]) > scene.ParseLSN(t, at), nil
		})
		load.StopLoad(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be active and mirrored", func() (bool, error) {
			slot := scene.ProxySlot(t, s.Proxy, "syncer")
			return slot.Real == "mirrored" && slot.Active, nil
		})
	}, 17, 18)
}

// README's role and conninfo, without dbname and with no privilege but REPLICATION: slots of the primary are taken over,
// and this proxy's slot is advanced under a rule.
func TestRoleOfREADME(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		primary := in.Primary(t)
		primary.Exec(t, "CREATE ROLE replproxy REPLICATION LOGIN; SELECT pg_create_physical_replication_slot('s1', true)")
		s := &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
			Upstream: fmt.Sprintf("host=127.0.0.1 port=%d user=replproxy", primary.Port),
			Config:   scene.RuleFile("ANY 1 (nobody)"),
		})}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "this proxy's slot to be advanced by SQL", func() (bool, error) {
			up := scene.Status(t, s.Proxy).Upstream
			return up.SlotFollows == "flushed" && up.SlotStatus == "reserved", nil
		})
		client := startPhysical(t, s.Proxy, "SLOT s1 PHYSICAL "+primary.QueryRow(t, scene.RealSlot+"s1'")[1])
		defer client.Close(t.Context())
		if one := scene.ProxySlot(t, s.Proxy, "s1"); one.Real != "adopted" || !one.Active {
			t.Errorf("%+v", one)
		}
		if log := s.Proxy.Log(); strings.Contains(log, "cannot advance") || strings.Contains(log, "cannot look after") {
			t.Error(log)
		}
	}, 14, 18)
}
