package slots

import (
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestOwnSlotLost: the proxy hangs until the primary invalidates its slot and removes the WAL. The slot is
// made anew and that is said, the missing WAL is named and nothing is skipped; once it is back the stream
// goes on where it was.
func TestOwnSlotLost(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		archive := in.TempDir(t)
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: "slots: {mirror: presence}\n"}, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings(
			"wal_keep_size = 0", "max_slot_wal_keep_size = 4MB", "max_wal_size = 4MB", "min_wal_size = 2MB",
			"archive_mode = on", "archive_command = 'cp %p "+archive+"/%f'"))
		lost := func() bool {
			rows := s.Primary.SQL(t, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'")
			return len(rows) == 1 && rows[0][0] == "lost"
		}
		s.CreateSlot(t, "mirrored") // so the proxy looks at the primary's slots every few seconds
		s.Proxy.Signal(syscall.SIGSTOP)
		for range 4 { // more than sockets hold
			scene.Fill(t, s.Primary, 10)
		}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to invalidate the slot", func() (bool, error) {
			s.Primary.Exec(t, "CHECKPOINT")
			return lost(), nil
		})
		s.Proxy.Signal(syscall.SIGCONT)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be made anew and the missing WAL to be named", func() (bool, error) {
			up := scene.Status(t, s.Proxy).Upstream
			return !lost() && strings.Contains(up.LastError, "nothing is skipped") &&
				strings.Contains(s.Proxy.Log(), "upstream slot reserve"), nil
		})
		end := scene.Status(t, s.Proxy).Store.Received

		s.Primary.Set(t, "wal_keep_size = 1GB")
		s.Primary.Exec(t, "SELECT pg_reload_conf()")
		s.Primary.Exec(t, "COPY (SELECT 1) TO PROGRAM 'cp -n "+archive+"/* pg_wal/'")
		s.Primary.Restart(t) // it remembers the removed segments
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to go on", func() (bool, error) {
			st := scene.Status(t, s.Proxy)
			return st.Upstream.State == "streaming" && st.Store.Received > end, nil
		})
		s.VerifySegments(t, s.Proxy)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "both slots to protect WAL again", func() (bool, error) {
			rows := s.Primary.SQL(t, "SELECT count(*) FROM pg_replication_slots WHERE wal_status <> 'lost'")
			return rows[0][0] == "2", nil
		})
	}, 14, 18)
}

// Somebody drops the proxy's slot on the primary, or makes another one of its name. With a rule, where it is not in
// use, that happens while the proxy runs; without one while it does not. It comes back where the store ends, and it is
// said.
func TestOwnSlotDropped(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		const name = "replproxy_proxy"
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (nobody)")}, pgtest.Settings("wal_level = logical"))
		holds := func(what string) {
			t.Helper()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to hold what the store lacks, after "+what, func() (bool, error) {
				rows := s.Primary.SQL(t, "SELECT restart_lsn <= '"+scene.Status(t, s.Proxy).Store.Flushed.String()+
					"' FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary AND slot_name = '"+name+"'")
				return len(rows) == 1 && rows[0][0] == "t", nil
			})
		}
		warned := func(words string) {
			t.Helper()
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "a warning of "+words, func() (bool, error) {
				return strings.Contains(strings.Join(scene.Status(t, s.Proxy).Warnings, "\n"), words), nil
			})
		}
		drop := "SELECT pg_drop_replication_slot('" + name + "')"
		holds("the start")
		s.Primary.Exec(t, drop)
		holds("it was dropped")
		warned("somebody dropped slot " + name)
		s.Primary.Exec(t, drop+"; SELECT pg_create_physical_replication_slot('"+name+"')")
		holds("it was made without a position")
		s.Primary.Exec(t, drop+"; SELECT pg_create_logical_replication_slot('"+name+"', 'test_decoding')")
		warned("logical")
		if in.Major > 14 { // which has no command that tells of one
			s.Primary.Restart(t) // and the stream does without a slot
			warned("logical")
			scene.Fill(t, s.Primary, 1)
			end := s.Primary.CurrentLSN(t)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "WAL without a slot", func() (bool, error) {
				return scene.Status(t, s.Proxy).Store.Received >= end, nil
			})
		}
		s.Primary.Exec(t, drop)
		if in.Major > 14 {
			s.Primary.Restart(t)
		}
		holds("the logical one was dropped")

		s.Proxy.Configure(t, "{}\n")
		s.Proxy.Restart(t)
		if n := scene.Status(t, s.Proxy).Upstream.SlotDrops; n != 0 {
			t.Errorf("%d drops", n)
		}
		s.Proxy.Terminate(t)
		s.Primary.Exec(t, drop)
		s.Proxy.Start(t)
		warned("somebody dropped slot " + name)
		if !strings.Contains(s.Proxy.Log(), "ignore_slots") {
			t.Error("the log does not say how to stop that")
		}
	}, 14, 17)
}

// A proxy whose slot has another name than before made it for the first time: nobody dropped it, and the slot of the
// earlier name is named, which holds WAL. What somebody drops later is said again. A second proxy of that name on a new
// data_dir is told who has the slot.
func TestOwnSlotRenamed(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	p := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Config: "{}\n"})
	if code := p.Terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.Configure(t, "upstream: {slot: renamed}\n")
	p.Start(t)
	const earlier, dropped = `earlier=replproxy_proxy`, "somebody dropped"
	scene.Logged(t, "the proxy", p.Log, earlier)
	p.Restart(t)
	if n := scene.Status(t, p).Upstream.SlotDrops; n != 0 || strings.Contains(p.Log(), dropped) {
		t.Errorf("%d drops, and the log says %q: %v", n, dropped, strings.Contains(p.Log(), dropped))
	}
	if n := strings.Count(p.Log(), earlier); n != 1 {
		t.Errorf("the earlier name is said %d times", n)
	}
	p.Terminate(t)
	primary.Exec(t, "SELECT pg_drop_replication_slot('renamed')")
	p.Start(t)
	scene.Logged(t, "the proxy", p.Log, dropped)

	pid := primary.Scalar(t, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'renamed'")
	second := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Config: "upstream: {slot: renamed}\n", NoWait: true,
	})
	if code := second.WaitExit(t); code != 2 {
		t.Errorf("exit code %d of a second one", code)
	}
	for _, want := range []string{"another proxy", "upstream.slot", "PID " + pid + ")"} {
		if !strings.Contains(second.Log(), want) {
			t.Errorf("the second one does not say %s", want)
		}
	}
}
