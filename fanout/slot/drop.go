package slot

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// Drop removes a slot; when it returns nil the removal is durable. A slot that is active for another
// session is 55006, or is waited for when wait is set (DROP_REPLICATION_SLOT … WAIT): until ctx ends,
// whose cause is then returned.
func (t *Table) Drop(ctx context.Context, name string, wait bool, pid int32) error {
	for {
		e, freed, err := t.claim(name, wait, pid)
		if err != nil {
			return err
		}
		if e != nil {
			return t.remove(e)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// claim makes pid the holder of the slot that it is about to drop. Without entry and error the
// caller waits for the channel.
func (t *Table) claim(name string, wait bool, pid int32) (*entry, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil {
		return nil, nil, errMissing(name)
	}
	if h := e.holder(); h != 0 && (h != pid || e.active != 0) {
		if !wait {
			return nil, nil, errActive(name, h)
		}
		if e.freed == nil {
			e.freed = make(chan struct{})
		}
		return nil, e.freed, nil
	}
	e.active, e.dropping = pid, true
	return e, nil, nil
}

func (t *Table) remove(e *entry) error {
	tombstone := record{name: e.name, dropped: true, owner: t.node, stamp: 1, created: copyboth.TimeOf(time.Now())}
	t.mu.Lock()
	tombstone.generation = e.generation + 1
	t.mu.Unlock()
	remembers := t.node != "" && !e.temporary
	var err error
	if !e.temporary {
		t.io.Lock()
		if remembers {
			err = t.write(tombstone)
		} else {
			err = t.fs.Remove(e.name)
		}
		if err == nil {
			err = t.fs.SyncDir()
		}
		t.io.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.slots, e.name)
		if remembers {
			t.remember(tombstone)
			t.changed.Wake()
		}
	} else {
		e.dropping, e.dirty = false, true // the file may be gone: the next Persist restores it
	}
	e.release()
	if err != nil {
		return ioError("drop", e.name, err)
	}
	return nil
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
