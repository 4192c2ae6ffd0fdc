package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// While the primary answers nothing by SQL, the stream tells how much WAL it keeps for the slot (ruling R38).
func TestHeldSinceTheLastLook(t *testing.T) {
	safe := int64(1000)
	own := realslot.ProxySlotStatus{Held: true, Known: true, Restart: 100, HeldBytes: 50, Safe: &safe, State: "reserved"}
	for end, want := range map[int][2]int64{0: {50, 1000}, 120: {50, 1000}, 150: {50, 1000}, 900: {800, 250}} {
		var u admin.Upstream
		r := walreceiver.Status{Slot: "s", SlotApart: true}
		r.UpstreamEnd = lsn.LSN(end)
		slotOnPrimary(&u, r, own)
		if u.SlotHeld != want[0] || *u.SlotSafe != want[1] {
			t.Errorf("end %d: %d held, %d safe, expected %v", end, u.SlotHeld, *u.SlotSafe, want)
		}
	}
	if safe != 1000 {
		t.Error("what the primary said was changed")
	}
}

func TestSlotWarnings(t *testing.T) {
	now := time.Unix(1e9, 0)
	drops := dropsOf(walreceiver.Status{Slot: "own", SlotDrops: 1, DroppedAt: now.Add(-time.Hour)},
		realslot.ProxySlotStatus{Drops: realslot.Drops{N: 2, Last: now.Add(-time.Minute)}},
		map[string]realslot.Drops{"s1": {N: 1, Last: now.Add(-48 * time.Hour)}})
	said := strings.Join(droppedWarnings(drops, now), "\n")
	if !strings.Contains(said, "somebody dropped slot own on the primary, 3 times, last at 2001-09-09T01:45:40Z") ||
		strings.Contains(said, "s1") {
		t.Error(said)
	}
	left := leftWarnings([]fanout.LeftSlot{{Name: "a", Timeline: 2, Promoted: true, Released: true},
		{Name: "b", Timeline: 2, Promoted: true}, {Name: "c", Timeline: 2}, {Name: "d", Timeline: 2},
		{Name: "e", Timeline: 2, Promoted: true}}, []admin.Slot{{Name: "b", HeldBytes: 7}, {Name: "c", HeldBytes: 8}, {Name: "d"}, {Name: "e"}})
	if len(left) != 3 {
		t.Fatalf("slots that keep nothing are told of: %q", left)
	}
	for i, words := range []string{"keeps WAL only within wal.keep_size", "keeps 7 B of WAL (slots.promoted: keep)", "slot c has not been used"} {
		if !strings.Contains(left[i], words) {
			t.Errorf("%q has no %q", left[i], words)
		}
	}
}
