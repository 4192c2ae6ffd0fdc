package slot

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Tombstones remember dropped slots, so that a member that has not heard of the drop does not bring the slot back. A
// table keeps as many as it may have slots. Beyond that one that every member knows of goes, the one dropped longest
// ago first. One that a member does not know of stays.
//
// There is room for that. Slots and tombstones are 2*max together at most, which is as many as a message has. No slot
// is made beyond that number, and a drop makes one of the other.

// SetConfirmed sets the function that answers for all drops at one moment: what it returns reports whether all other
// members know of a drop. Until it is set every drop counts as known, as where there are no other members. f is called
// under the table's lock and must not call the table. Set it before the table is used.
func (t *Table) SetConfirmed(f func() func(shared.State) bool) { t.confirmed = f }

// noneToKnow returns the function that [Table.SetConfirmed] wants, for a table that is shared with nobody. All others
// know of every drop, since there are none.
func noneToKnow() func(shared.State) bool { return func(shared.State) bool { return true } }

// tombstone returns the tombstone of a slot that this proxy drops.
func (t *Table) tombstone(name string, generation uint64) record {
	return record{
		name: name, dropped: true, generation: generation, owner: t.node, stamp: 1,
		created: copyboth.TimeOf(time.Now()),
	}
}

// remember keeps a tombstone, in place of an earlier one; saved says that its file is written. One that nobody shares
// is not kept. The caller holds mu.
func (t *Table) remember(r record, saved bool) {
	if !r.shared() {
		return
	}
	if t.tombstones[r.name] == nil {
		t.forget(t.max - 1)
	}
	t.tombstones[r.name] = &entry{record: r, dirty: !saved}
}

// forget lets confirmed tombstones go until there are most. The one of the highest generation stays: a name that
// nothing is known of begins above it, and so above what another member may still know of the name. The caller holds
// mu.
func (t *Table) forget(most int) {
	if len(t.tombstones) <= most {
		return
	}
	known := t.confirmed()
	var top *entry
	var all []*entry
	for _, g := range t.tombstones {
		if top == nil || g.generation > top.generation {
			top = g
		}
		if known(g.state()) {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int { return int(min(1, max(-1, a.created-b.created))) })
	for _, g := range all {
		if len(t.tombstones) <= most {
			return
		}
		if g != top {
			delete(t.tombstones, g.name)
			t.expired = append(t.expired, g.name)
		}
	}
}

// lowestGeneration returns the generation above which a name that nothing is known of begins. A tombstone that has all
// but the last generation, which no honest member gives, does not use up those of all names. The caller holds mu.
func (t *Table) lowestGeneration() (generation uint64) {
	for _, g := range t.tombstones {
		if g.generation < shared.MaxGeneration/2 {
			generation = max(generation, g.generation)
		}
	}
	return generation
}

// crowded reports whether one more slot, or tombstone, could be one too many. The caller holds mu.
func (t *Table) crowded() bool {
	slots := 0
	for _, e := range t.slots {
		if !e.temporary {
			slots++
		}
	}
	if slots+len(t.tombstones) < 2*t.max {
		return false
	}
	t.forget(t.max)
	return slots+len(t.tombstones) >= 2*t.max
}

// takes reports whether there is room for what another member says of a name that no slot here has. The caller holds
// mu.
func (t *Table) takes(o shared.State) bool {
	if o.Exists() && len(t.slots) >= t.max {
		return false
	}
	return o.Generation == 0 || t.tombstones[o.Name] != nil || !t.crowded()
}

// errCrowded returns the refusal of a slot that could not be dropped for good.
func (t *Table) errCrowded() error {
	return pgerror.New(pgerror.ConfigurationLimit, "all replication slots are in use").
		WithDetail("%d dropped slots are remembered, because not every member of the cluster knows of their removal.",
			len(t.tombstones)).
		WithHint("Start the member that is missing, or name it to \"replproxy forget\" when it is gone for good.")
}

// takeExpired returns the files that go. The caller holds io.
func (t *Table) takeExpired() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := slices.DeleteFunc(t.expired, func(name string) bool {
		return t.slots[name] != nil || t.tombstones[name] != nil
	})
	t.expired = nil
	return gone
}
