package slot

import (
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Invalidate makes a slot lost: it holds nothing any more, and the session that streams is ended.
// wal_removed leaves no restart_lsn (facts G). It waits for the disk; when the file cannot be written,
// because the disk is full above all, the slot lets go of its WAL all the same: after a crash it is
// found lost again as soon as its WAL is gone. The slot as it was is returned; false: there is no such
// slot, or it was lost before.
func (t *Table) Invalidate(name string, cause Cause) (was Info, done bool, err error) {
	t.mu.Lock()
	e := t.slots[name]
	if e == nil || e.lost != NotLost || e.dropping {
		t.mu.Unlock()
		return Info{}, false, nil
	}
	was = t.info(e)
	e.lost, e.dirty = cause, true
	if cause == IdleTimeout { // that WAL is gone here says nothing about other members
		t.note(e)
	}
	evict := e.evict
	e.evict = nil
	t.mu.Unlock()
	if evict != nil {
		evict()
	}
	if was.Temporary {
		return was, true, nil
	}
	err = t.Persist()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		e.saved, e.inFlight = lsn.Invalid, lsn.Invalid
	}
	return was, true, err
}

// ErrLost is the refusal of PostgreSQL 18 to use an invalidated slot (facts E1).
func ErrLost(name string, cause Cause) error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite, `can no longer access replication slot "%s"`, name).
		WithDetail(`This replication slot has been invalidated due to "%s".`, cause)
}

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
