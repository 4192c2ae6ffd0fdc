package slots

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// documentedSlot makes a lost slot again as docs/runbook.md says.
func documentedSlot(t *testing.T, name, conninfo string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	const theirs = `"host=proxy port=6543 user=standby replication=true"`
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "psql "+theirs) {
			return strings.ReplaceAll(strings.Replace(line, theirs, `"`+conninfo+`"`, 1), "_SLOT s1", "_SLOT "+name)
		}
	}
	t.Fatal("docs/runbook.md does not say how a slot is made again")
	return ""
}

// TestSlotLost: a standby that slept past max_slot_wal_keep_size. Its slot is lost, the WAL goes, and
// it is told what a walsender of its version tells.
func TestSlotLost(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{
			Config: "wal: {keep_size: 16MB, max_slot_wal_keep_size: 20MB}\n",
		}, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 0"))
		s.CreateSlot(t, "sleeper")
		standby := s.Standby(t, "sleeper", "sleeper")
		s.Primary.Exec(t, scene.LoadTable)
		s.Verify(t, standby)
		if slot := scene.ProxySlot(t, s.Proxy, "sleeper"); slot.Status != "reserved" || slot.Safe == nil || *slot.Safe < 15<<20 {
			t.Errorf("before: %+v", slot)
		}
		standby.Stop(t, pgtest.Fast)
		at := s.Primary.CurrentLSN(t)
		scene.Fill(t, s.Primary, 150) // more than the tail in memory, which serves as well
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be lost", func() (bool, error) {
			st := scene.Status(t, s.Proxy)
			return st.LostSlots == 1 && st.Store.Oldest > 0x8000000, nil
		})
		slot := scene.ProxySlot(t, s.Proxy, "sleeper")
		if slot.Status != "lost" || slot.Reason != "wal_removed" || slot.Restart != 0 || slot.Safe != nil {
			t.Errorf("after: %+v", slot)
		}
		if in.Major >= 15 {
			row := scene.Command(t, s.Proxy, "READ_REPLICATION_SLOT sleeper")
			if fmt.Sprint(row) != "[[physical "+pgtest.Null+" "+pgtest.Null+"]]" {
				t.Errorf("READ_REPLICATION_SLOT: %v", row)
			}
		}
		want := "has already been removed"
		if in.Major < 18 {
			scene.Forgets(t, s.Primary, at) // or the standby is served by a backfill
		} else {
			want = `This replication slot has been invalidated due to "wal_removed".`
		}
		standby.StartNoWait(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to be told: "+want, func() (bool, error) {
			return strings.Contains(standby.Log(), want), nil
		})
		if n := strings.Count(s.Proxy.Log(), "replication slot is lost"); n != 1 {
			t.Errorf("the loss is logged %d times", n)
		}
		standby.Stop(t, pgtest.Fast)
		again := documentedSlot(t, "sleeper", s.Proxy.Conninfo("replication=true"))
		if out, err := in.Tool(t, "/", "/bin/sh", "-c", again).CombinedOutput(); err != nil {
			t.Fatalf("%s\n%v: %s", again, err, out)
		}
		if slot := scene.ProxySlot(t, s.Proxy, "sleeper"); slot.Status != "reserved" || slot.Restart == 0 {
			t.Errorf("made again: %+v", slot)
		}
	}, 15, 18)
}
