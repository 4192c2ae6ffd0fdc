package slot

import (
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Adoption is a slot of the primary that is taken over (R16).
type Adoption struct {
	Name              string
	Restart           lsn.LSN
	Xmin, CatalogXmin copyboth.FullXID
}

// Adopt makes a persistent slot of a slot of the primary, durable when it returns nil. Errors are
// those of Create.
func (t *Table) Adopt(a Adoption, pid int32) error {
	return t.make(a.seed(), pid, nil)
}

func (a Adoption) seed() Seed {
	return Seed{Name: a.Name, Restart: a.Restart, Xmin: a.Xmin, CatalogXmin: a.CatalogXmin, Real: Adopted}
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
