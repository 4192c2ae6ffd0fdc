package slot

import "github.com/replproxy/replproxy/fanout/slot/shared"

// Adopt makes a persistent slot of a slot of the primary (R16), whose restart_lsn, xmin and catalog_xmin s has. It is
// durable when it returns nil. Errors are those of Create.
func (t *Table) Adopt(claim shared.State, s Seed, pid int32) error {
	s.Real = Adopted
	return t.Create(claim, s, pid)
}

// SetReal notes durably what the slot of this name on the primary is to this one; false when there is
// no persistent slot of the name. It waits for the disk.
func (t *Table) SetReal(name string, real Real) (bool, error) {
	t.mu.Lock()
	e := t.slots[name]
	if e == nil || e.temporary || e.dropping {
		t.mu.Unlock()
		return false, nil
	}
	same := e.real == real
	if !same {
		e.real, e.dirty = real, true
		t.note(e)
	}
	t.mu.Unlock()
	if same {
		return true, nil
	}
	return true, t.Persist()
}
