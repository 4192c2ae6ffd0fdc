package preflight

import (
	"fmt"
	"strconv"
)

func slot(s Setup, f Facts) Check {
	c := Check{Name: "slot"}
	if s.Slot == "" {
		c.Level, c.Text = Warn, "none (upstream.slot is empty)"
		c.Remedy = "After a break the primary may have removed WAL that the proxy needs: " +
			"raise wal_keep_size, or name a slot."
		return c
	}
	if f.SQL != nil {
		return slotWithoutSQL(s, f)
	}
	for _, have := range f.Slots {
		if have.Name == s.Slot {
			return existingSlot(s, have)
		}
	}
	most, err := strconv.Atoi(f.Settings["max_replication_slots"])
	free := most - len(f.Slots)
	c.Text = fmt.Sprintf("%q does not exist yet and will be created; %d of %d free", s.Slot, max(0, free), most)
	switch {
	case err != nil:
		c.Level, c.Text = Warn, fmt.Sprintf("%q does not exist yet; how many are free is unknown", s.Slot)
		c.Remedy = "Make sure that max_replication_slots leaves room for one."
	case free < 1:
		c.Level, c.Remedy = Fail, "Raise max_replication_slots (needs a restart), or drop a slot that is not used."
	default:
		c.Level = OK
	}
	return c
}

func slotWithoutSQL(s Setup, f Facts) Check {
	if f.SlotAsked && f.SlotFound && s.NewStore {
		return slotOfAnotherStore(s)
	}
	if f.SlotAsked && f.SlotFound {
		return Check{Name: "slot", Level: OK, Text: fmt.Sprintf("%q exists", s.Slot)}
	}
	text := fmt.Sprintf("%q: whether it exists is unknown without SQL", s.Slot)
	if f.SlotAsked {
		text = fmt.Sprintf("%q does not exist yet; how many are free is unknown without SQL", s.Slot)
	}
	return Check{"slot", Warn, text,
		"Make sure that max_replication_slots leaves room for it; it is created when missing."}
}

// slotOfAnotherStore returns a failure: run does not use the slot of a store that is not in data_dir.
func slotOfAnotherStore(s Setup) Check {
	return Check{"slot", Fail, fmt.Sprintf("%q exists, but data_dir has no store yet", s.Slot),
		"Is the volume of data_dir mounted, and the name no other proxy's? If a new store is meant: " +
			"replproxy run --new-store, once."}
}

func existingSlot(s Setup, have Slot) Check {
	c := Check{Name: "slot", Level: OK, Text: fmt.Sprintf("%q exists", have.Name)}
	switch {
	case have.Type != "physical":
		c.Level, c.Text = Fail, fmt.Sprintf("%q is a %s slot", have.Name, have.Type)
		c.Remedy = "Name another one in upstream.slot."
	case s.NewStore:
		return slotOfAnotherStore(s)
	case have.Active:
		c.Level, c.Text = Warn, fmt.Sprintf("%q is in use", have.Name)
		c.Remedy = "Fine when this proxy runs already; if not, another one has the same name: " +
			"set name or upstream.slot."
	case have.WALStatus == "lost" || have.WALStatus == "unreserved":
		c.Level = Warn
		c.Text = fmt.Sprintf("%q is %s: the primary may have removed WAL that it held", have.Name, have.WALStatus)
		c.Remedy = "Raise max_slot_wal_keep_size on the primary; the proxy tells when WAL is missing."
	}
	return c
}
