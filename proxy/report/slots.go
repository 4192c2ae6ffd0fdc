package report

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// sharers returns the members of a cluster that keep the WAL of a slot, this proxy among them by its name, and those
// that may not know of it. A slot that nobody owns is this proxy's alone.
func sharers(s SharedSlot, name string) (keptBy, unconfirmed []string) {
	if s.Owner == "" {
		return nil, nil
	}
	keptBy = slices.Clone(s.KeptBy)
	if s.Kept {
		keptBy = append(keptBy, name)
		slices.Sort(keptBy)
	}
	return keptBy, s.Unconfirmed
}

func slotStatus(row fanout.SlotRow, received lsn.LSN) admin.Slot {
	s := admin.Slot{
		Name: row.Name, Type: "physical", Temporary: row.Temporary, Active: row.ActivePID != 0,
		ActivePID: row.ActivePID, Restart: row.Restart, Status: string(row.Status), Reason: string(row.Lost),
		InactiveSince: row.Inactive, Xmin: uint64(row.Xmin), CatalogXmin: uint64(row.CatalogXmin),
		Real: string(row.Real), Owner: row.Owner,
	}
	if row.SafeKnown {
		s.Safe = &row.Safe
	}
	if row.Lost == slot.NotLost && row.Restart != lsn.Invalid && received > row.Restart {
		s.HeldBytes = int64(received - row.Restart)
	}
	return s
}

// idleStatus returns the primary's idle slots, and whether they are looked after here or by a member that is heard, or
// are one's that is not. A member that does not stream by its slot keeps it there all the same (rulings R7 and R8).
func idleStatus(idle []realslot.Idle, rows []SharedSlot, c *admin.Cluster) []admin.Idle {
	member, absent := map[string]string{}, map[string]string{}
	if c != nil {
		for _, p := range c.Peers {
			of := member
			if p.Heard.IsZero() {
				of = absent
			}
			of[config.DefaultSlot(p.Name)] = p.Name
		}
	}
	all := []admin.Idle{}
	for _, i := range idle {
		s := admin.Idle{Name: i.Name, Type: i.Type, Restart: i.Restart, HeldBytes: i.HeldBytes,
			Status: i.WALStatus, Member: member[i.Name], Absent: absent[i.Name]}
		if at := slices.IndexFunc(rows, func(r SharedSlot) bool { return r.Name == i.Name }); at >= 0 {
			s.Real = string(rows[at].Real)
		}
		all = append(all, s)
	}
	return all
}

// slotWarnings name the slots whose standbys need an operator.
func slotWarnings(rows []SharedSlot) (all []string) {
	for _, r := range rows {
		if r.Lost != slot.NotLost {
			all = append(all, fmt.Sprintf("slot %s is lost (%s): stop its standby, drop it and create it again; "+
				"its standby goes on only if the WAL it needs is still in the store or in its archive", r.Name, r.Lost))
		}
		if r.Status == slot.Extended && r.ActivePID == 0 && !r.Foreign {
			all = append(all, fmt.Sprintf("slot %s is not used and keeps WAL beyond wal.keep_size: "+
				"if its standby is gone for good, drop it", r.Name))
		}
	}
	return all
}

// mirrorsWarnings tell that the wait for mirrors was given up (R18).
func mirrorsWarnings(m walreceiver.MirrorState) []string {
	if m != walreceiver.MirrorsMissing {
		return nil
	}
	return []string{"slots are not mirrored on the upstream, which is reported to all the same: " +
		"standbys that need their slots there (slots.mirror) may miss WAL after a failover; see the log for why, " +
		"and max_replication_slots there"}
}

// showDrops is the time for which a status warns of a slot that somebody dropped. An operator sees it the next
// morning: who drops slots does it again.
const showDrops = 24 * time.Hour

// dropsOf counts by name how often somebody else dropped slots of ours on the primary.
func dropsOf(r walreceiver.Status, own realslot.ProxySlotStatus, mirrors map[string]realslot.Drops,
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

// droppedWarnings warns of mirrors that somebody else dropped on the primary, says who that may be, and how to stop it.
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

// leftWarnings name the slots that a change of the primary has left without a user, once they keep WAL.
func leftWarnings(left []fanout.LeftSlot, slots []admin.Slot) (all []string) {
	for _, l := range left {
		held := int64(0)
		if at := slices.IndexFunc(slots, func(s admin.Slot) bool { return s.Name == l.Name }); at >= 0 {
			held = slots[at].HeldBytes
		}
		switch {
		case l.Released:
			all = append(all, fmt.Sprintf("slot %s was used by the server that is the primary of timeline %s now: it "+
				"keeps WAL only within wal.keep_size until that server is a standby again; drop it if it will not be",
				l.Name, l.Timeline))
		case held == 0:
		case l.Promoted:
			all = append(all, fmt.Sprintf("slot %s was used by the server that is the primary of timeline %s now, and "+
				"keeps %s of WAL (slots.promoted: keep); drop it if that server will not be a standby again",
				l.Name, l.Timeline, short(held)))
		default:
			all = append(all, fmt.Sprintf("slot %s has not been used since timeline %s began, and keeps %s of "+
				"WAL: if its standby was promoted, or is gone for good, drop it", l.Name, l.Timeline, short(held)))
		}
	}
	return all
}

// ownSlotWarnings tell of a slot that the primary keeps no WAL by, or that cannot be looked after.
func ownSlotWarnings(r walreceiver.Status, own realslot.ProxySlotStatus) (all []string) {
	if r.Uncompared != lsn.Invalid {
		all = append(all, fmt.Sprintf("the primary is followed without a look whether it has lost WAL: the WAL before "+
			"%s, where the store ended, is removed there or gone here: see that it has the commits from before",
			r.Uncompared))
	}
	if r.SlotState == walreceiver.SlotForeign {
		all = append(all, fmt.Sprintf("slot %s on the primary is a logical one, which replproxy did not make: the "+
			"primary keeps no WAL for this proxy; drop it there, or name another one in upstream.slot", r.Slot))
	}
	if own.Held && own.Err != "" {
		all = append(all, fmt.Sprintf("slot %s on the primary cannot be advanced: %s", r.Slot, own.Err))
	}
	if own.Held && own.TellErr != "" {
		all = append(all, fmt.Sprintf("what standbys' slots need of the primary ends with this proxy's stream: %s",
			own.TellErr))
	}
	return all
}
