package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
)

// showDrops is how long a status warns of a slot that somebody dropped: long enough for an operator to see it the
// next morning, as who drops slots does it again.
const showDrops = 24 * time.Hour

// dropsOf is how often slots of ours were dropped on the primary by somebody else, by name.
func dropsOf(r walreceiver.Status, own realslot.OwnStatus, mirrors map[string]realslot.Drops,
) map[string]realslot.Drops {
	all := maps.Clone(mirrors)
	if n := r.SlotDrops + own.Drops.N; n > 0 {
		last := r.DroppedAt
		if own.Drops.Last.After(last) {
			last = own.Drops.Last
		}
		all[r.Slot] = realslot.Drops{N: n, Last: last}
	}
	return all
}

// droppedWarnings say who may have done it, and how to stop that.
func droppedWarnings(drops map[string]realslot.Drops, now time.Time) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(drops)) {
		if d := drops[name]; now.Sub(d.Last) < showDrops {
			all = append(all, fmt.Sprintf("somebody dropped slot %s on the primary, %d times, last at %s: it was made "+
				"anew, and WAL may go in between; tell who manages slots there to leave it alone "+
				"(Patroni: ignore_slots)", name, d.N, d.Last.UTC().Format(time.RFC3339)))
		}
	}
	return all
}

// ownSlotWarnings tell of a slot that the primary keeps no WAL by, or that cannot be looked after.
func ownSlotWarnings(r walreceiver.Status, own realslot.OwnStatus) (all []string) {
	if r.SlotState == walreceiver.SlotForeign {
		all = append(all, fmt.Sprintf("slot %s on the primary is a logical one, which replproxy did not make: the "+
			"primary keeps no WAL for this proxy; drop it there, or name another one in upstream.slot", r.Slot))
	}
	if own.Held && own.Err != "" {
		all = append(all, fmt.Sprintf("slot %s on the primary cannot be advanced: %s", r.Slot, own.Err))
	}
	return all
}
