package slot

import (
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Invalidate makes a slot lost: it holds nothing any more, and the session that streams is ended. [Bounds.Judge] says
// which slots are too large or idle for too long. wal_removed leaves no restart_lsn (facts G). It waits for the disk.
// The slot releases its WAL even when the file cannot be written, which a full disk causes. After a crash it is then
// found lost again as soon as its WAL is gone. The slot as it was is returned; false: there is no such slot, or it was
// lost before.
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

// ErrLost returns the refusal of PostgreSQL 18 to use an invalidated slot (facts E1).
func ErrLost(name string, cause Cause) error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite, `can no longer access replication slot "%s"`, name).
		WithDetail(`This replication slot has been invalidated due to "%s".`, cause)
}
