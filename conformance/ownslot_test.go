package conformance

import (
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestOwnSlotLost: the proxy hangs until the primary invalidates its slot and removes the WAL. The slot is
// made anew and that is said, the missing WAL is named and nothing is skipped; once it is back the stream
// goes on where it was.
func TestOwnSlotLost(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		archive := in.TempDir(t)
		s := newSiteWith(t, in, pgtest.ProxyOptions{Config: "slots: {mirror: presence}\n"}, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings(
			"wal_keep_size = 0", "max_slot_wal_keep_size = 4MB", "max_wal_size = 4MB", "min_wal_size = 2MB",
			"archive_mode = on", "archive_command = 'cp %p "+archive+"/%f'"))
		lost := func() bool {
			rows := s.primary.SQL(t, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'")
			return len(rows) == 1 && rows[0][0] == "lost"
		}
		s.createSlot(t, "mirrored") // so the proxy looks at the primary's slots every few seconds
		s.proxy.Signal(syscall.SIGSTOP)
		for range 4 { // more than sockets hold
			fill(t, s.primary, 10)
		}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to invalidate the slot", func() (bool, error) {
			s.primary.Exec(t, "CHECKPOINT")
			return lost(), nil
		})
		s.proxy.Signal(syscall.SIGCONT)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be made anew and the missing WAL to be named", func() (bool, error) {
			up := status(t, s.proxy).Upstream
			return !lost() && strings.Contains(up.LastError, "nothing is skipped") &&
				strings.Contains(s.proxy.Log(), "upstream slot reserve"), nil
		})
		end := status(t, s.proxy).Store.Received

		s.primary.Set(t, "wal_keep_size = 1GB")
		s.primary.Exec(t, "SELECT pg_reload_conf()")
		s.primary.Exec(t, "COPY (SELECT 1) TO PROGRAM 'cp -n "+archive+"/* pg_wal/'")
		s.primary.Restart(t) // it remembers what it has removed
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to go on", func() (bool, error) {
			st := status(t, s.proxy)
			return st.Upstream.State == "streaming" && st.Store.Received > end, nil
		})
		s.verifySegments(t, s.proxy)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "both slots to protect WAL again", func() (bool, error) {
			rows := s.primary.SQL(t, "SELECT count(*) FROM pg_replication_slots WHERE wal_status <> 'lost'")
			return rows[0][0] == "2", nil
		})
	}, 14, 18)
}
