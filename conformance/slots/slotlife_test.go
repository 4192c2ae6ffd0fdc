package slots

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// warns waits for a warning in a proxy's status.
func warns(t *testing.T, p *pgtest.Proxy, words string) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a warning of "+words, func() (bool, error) {
		return strings.Contains(strings.Join(scene.Status(t, p).Warnings, "\n"), words), nil
	})
}

// startPhysical begins to stream and reports nothing. The caller closes the connection.
func startPhysical(t *testing.T, p *pgtest.Proxy, start string, extra ...string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgtest.Dial(t.Context(), p.Conninfo(append(extra, "replication=true")...))
	if err != nil {
		t.Fatal(err)
	}
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION " + start})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		switch m, err := conn.ReceiveMessage(t.Context()); m := m.(type) {
		case *pgproto3.CopyBothResponse:
			return conn
		case *pgproto3.ErrorResponse:
			t.Fatalf("%s: %s", start, m.Message)
		default:
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A standby with a slot and hot_standby_feedback is promoted (ruling R41). Its slot holds back neither vacuum nor WAL
// on the new primary, while the other standby's goes on holding. Who comes back with it holds again.
func TestPromotedStandbysSlot(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "wal_log_hints = on", "hot_standby_feedback = on",
		"wal_receiver_status_interval = 1s", "wal_retrieve_retry_interval = 100ms", "autovacuum = off")
	primary := in.Primary(t, settings)
	primary.Exec(t, "CREATE TABLE t AS SELECT 1 i")
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("s1"), pgtest.Settings("cluster_name = 's1'"))
	s := &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(primary, candidate), Config: "feedback: {settle: 1s}\nslots: {auto_create: true}\n",
	})}
	candidate.Set(t, "primary_slot_name = 's1'", "primary_conninfo = '"+s.Proxy.Conninfo()+"'")
	candidate.Reload()
	other := s.Standby(t, "s2", "s2", settings, pgtest.Settings("cluster_name = 's2'"))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both standbys' xmin", func() (bool, error) {
		return scene.ProxySlot(t, s.Proxy, "s1").Xmin != 0 && scene.ProxySlot(t, s.Proxy, "s2").Xmin != 0, nil
	})
	primary.Stop(t, pgtest.Immediate)
	candidate.Promote(t)
	warns(t, s.Proxy, "slot s1 was used by the server that is the primary of timeline 2 now")
	for range 20 {
		candidate.Exec(t, "UPDATE t SET i = i + 1")
	}
	pgtest.WaitCaughtUp(t, candidate, other)
	if one := scene.ProxySlot(t, s.Proxy, "s1"); one.Xmin != 0 || one.Restart != 0 || one.Status == "lost" {
		t.Errorf("the promoted standby's slot: %+v", one)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "vacuum to remove what nobody needs", func() (bool, error) {
		candidate.Exec(t, "VACUUM t")
		return candidate.Scalar(t, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 't'") == "0", nil
	})
	if two := scene.ProxySlot(t, s.Proxy, "s2"); two.Xmin == 0 || two.Restart == 0 {
		t.Errorf("the other standby's slot: %+v", two)
	}
	scene.Command(t, s.Proxy, "DROP_REPLICATION_SLOT s1")
	if w := strings.Join(scene.Status(t, s.Proxy).Warnings, "\n"); strings.Contains(w, "slot s1") {
		t.Errorf("the slot is gone: %s", w)
	}
}

// A slot that was taken over has the limits of others, although its WAL was never in the store. It is let go when the
// primary's is gone.
func TestAdoptedSlotBelowTheStore(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("max_wal_size = 4MB", "min_wal_size = 2MB"))
	primary.Exec(t, "SELECT pg_create_physical_replication_slot(n, true) FROM unnest('{capped,gone}'::text[]) n")
	old := primary.QueryRow(t, scene.RealSlot+"capped'")[1]
	scene.Fill(t, primary, 3)
	primary.Exec(t, "CHECKPOINT")
	s := &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Config: "wal: {keep_size: 16MB, max_slot_wal_keep_size: 16MB}\nfeedback: {settle: 1s}\n",
	})}
	adopt := func(name string) {
		t.Helper()
		client := startPhysical(t, s.Proxy, "SLOT "+name+" PHYSICAL "+old)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, name+" to be taken over", func() (bool, error) {
			return scene.ProxySlot(t, s.Proxy, name).Real == "adopted", nil
		})
		client.Close(t.Context())
	}
	adopt("gone")
	primary.Exec(t, "SELECT pg_drop_replication_slot('gone')")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be lost unless its WAL is here", func() (bool, error) {
		slot := scene.ProxySlot(t, s.Proxy, "gone")
		return slot.Status == "lost" || slot.Restart >= scene.Status(t, s.Proxy).Store.Oldest, nil
	})
	adopt("capped")
	for scene.Status(t, s.Proxy).Store.Received < scene.ParseLSN(t, old)+(24<<20) {
		scene.Fill(t, primary, 1)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be lost at its cap", func() (bool, error) {
		return scene.ProxySlot(t, s.Proxy, "capped").Status == "lost", nil
	})
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to keep nothing for a lost slot", func() (bool, error) {
		return primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'capped'") == "0", nil
	})

	// One that would be lost at once is not taken over: the primary's goes on holding what its standby needs.
	beyond := primary.QueryRow(t, "SELECT pg_create_physical_replication_slot('beyond', true, false); "+scene.RealSlot+"beyond'")[1]
	for scene.Status(t, s.Proxy).Store.Received < scene.ParseLSN(t, beyond)+(24<<20) {
		scene.Fill(t, primary, 1)
	}
	_, err := pgtest.Query(t.Context(), s.Proxy.Conninfo("replication=true"), "START_REPLICATION SLOT beyond PHYSICAL "+beyond)
	if err == nil || !strings.Contains(err.Error(), `can no longer access replication slot "beyond" (SQLSTATE 55000)`) {
		t.Errorf("%v", err)
	}
	if at := primary.QueryRow(t, scene.RealSlot+"beyond'")[1]; at != beyond {
		t.Errorf("the primary's slot is at %s, and was at %s", at, beyond)
	}

	// The manager makes it anew there: it is taken over anew.
	primary.Exec(t, "SELECT pg_create_physical_replication_slot('capped', true)")
	old = primary.QueryRow(t, scene.RealSlot+"capped'")[1]
	client := startPhysical(t, s.Proxy, "SLOT capped PHYSICAL "+old)
	defer client.Close(t.Context())
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the new slot to be taken over", func() (bool, error) {
		slot := scene.ProxySlot(t, s.Proxy, "capped")
		return slot.Real == "adopted" && slot.Active && slot.Status != "lost", nil
	})
}

// A slot that slots.auto_create made for a START that is refused does not stay.
func TestAutoCreatedForNothing(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{Config: "slots: {auto_create: true}\n"})
	for _, at := range []string{"7F/0 TIMELINE 1", "0/1000000 TIMELINE 9"} {
		if _, err := pgtest.Query(t.Context(), s.Proxy.Conninfo("replication=true"), "START_REPLICATION SLOT x PHYSICAL "+at); err == nil {
			t.Fatal("not refused")
		}
		if slots := scene.Status(t, s.Proxy).Slots; len(slots) != 0 {
			t.Errorf("%s: %+v", at, slots)
		}
	}
}

// A reload of the primary changes wal_sender_timeout for standbys that are attached, as it does directly, but not for
// one that asked for its own. SHOW answers with it after a stream.
func TestChangedSenderTimeout(t *testing.T) {
	t.Parallel()
	s := scene.NewSite(t, pgtest.Usual(t), pgtest.Settings("wal_sender_timeout = 60s"))
	at := s.Primary.CurrentLSN(t).String()
	scene.Fill(t, s.Primary, 1)
	silent := startPhysical(t, s.Proxy, at)
	defer silent.Close(t.Context())
	own := startPhysical(t, s.Proxy, at, "options='-c wal_sender_timeout=10min'")
	defer own.Close(t.Context())
	asks := startPhysical(t, s.Proxy, at)
	defer asks.Close(t.Context())
	asks.Frontend().Send(&pgproto3.CopyDone{})
	if err := asks.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	for ready := false; !ready; {
		m, err := asks.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, ready = m.(*pgproto3.ReadyForQuery)
	}
	s.Primary.Exec(t, "ALTER SYSTEM SET wal_sender_timeout = '1500ms'")
	s.Primary.Reload()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the silent standby to be given up", func() (bool, error) {
		return len(scene.Status(t, s.Proxy).Standbys) == 1, nil
	})
	rows, err := pgtest.QueryConn(t.Context(), asks, "SHOW wal_sender_timeout")
	if err != nil || rows[0][0] != "1500ms" {
		t.Errorf("SHOW: %v, %v", rows, err)
	}
}
