package slot

import "github.com/replproxy/replproxy/fanout/slot/shared"

// Drop removes the slot that session pid has claimed. When it returns nil the removal is durable, for which it waits
// for the disk. 42704: the slot is gone. 55006: the claim was beaten. After an error of the disk the slot is there, and
// free. Any goroutine may call it.
func (t *Table) Drop(claim shared.State, pid int32) error {
	e, err := t.beginDrop(claim, pid)
	if err != nil || e.temporary {
		return err
	}
	return t.remove(e)
}

// beginDrop makes session pid the holder of the slot that it is about to drop. A temporary slot is gone then.
func (t *Table) beginDrop(claim shared.State, pid int32) (*entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.redeem(claim, pid)
	switch {
	case err != nil:
		return nil, err
	case e.temporary:
		delete(t.slots, e.name)
		e.release()
	default:
		e.active, e.dropping = pid, true
	}
	return e, nil
}

// remove makes the removal of a slot durable: by a tombstone for members that do not know yet, without a file where
// there are none.
func (t *Table) remove(e *entry) error {
	t.mu.Lock()
	gone := t.tombstone(e.name, e.generation+1)
	t.mu.Unlock()
	t.io.Lock()
	err := t.write(gone)
	if err == nil {
		err = t.fs.SyncDir()
	}
	t.io.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.slots, e.name)
		t.remember(gone, true)
		t.changed.Wake()
	} else {
		e.dropping, e.dirty = false, true // the file may be gone: the next Persist restores it
	}
	e.release()
	if err != nil {
		return ioError("drop", e.name, err)
	}
	return nil
}

// Freed returns a channel that is closed when a session of this proxy lets go of a slot next, or the slot is gone. It
// is nil when there is no such slot. Whoever waits for a slot calls it before it looks whether the slot is free.
func (t *Table) Freed(name string) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil {
		return nil
	}
	if e.freed == nil {
		e.freed = make(chan struct{})
	}
	return e.freed
}

// DropTemporary removes the temporary slots of session pid: at its end and after every ERROR in it
// (facts B1, G).
func (t *Table) DropTemporary(pid int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, e := range t.slots {
		if e.temporary && e.session == pid {
			delete(t.slots, name)
			e.release()
		}
	}
}
