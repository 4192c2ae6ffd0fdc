package slot

import (
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ErrExists is 42710.
func ErrExists(name string) error {
	return pgerror.New(pgerror.DuplicateObject, `replication slot "%s" already exists`, name)
}

// Create makes a slot that begins to hold WAL at restart (Invalid: reserves nothing). A persistent
// slot is durable when it returns; a temporary one belongs to session owner until DropTemporary.
// Errors are PostgreSQL's: 42602, 42622, 42710, 53400 (facts G); a disk error is not.
func (t *Table) Create(name string, temporary bool, restart lsn.LSN, owner int32) error {
	return t.make(Seed{Name: name, Temporary: temporary, Restart: restart}, owner, nil)
}

// Seed is a slot that is to be made.
type Seed struct {
	Name              string
	Temporary         bool
	Restart           lsn.LSN
	Xmin, CatalogXmin copyboth.FullXID
	Real              Real
}

// make makes a slot; claim is what the other members of a cluster have agreed to, nil without any.
func (t *Table) make(s Seed, owner int32, claim *shared.State) error {
	e := &entry{temporary: s.Temporary, saved: s.Restart, since: time.Now(), life: t.lives()}
	e.record = record{
		name: s.Name, restart: s.Restart, xmin: s.Xmin, catalog: s.CatalogXmin, real: s.Real,
		created: copyboth.TimeOf(time.Now()),
	}
	if err := t.reserve(e, owner, claim); err != nil || s.Temporary {
		return err
	}
	return t.create(e)
}

// lives is the present life of the primary.
func (t *Table) lives() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.life
}

// create makes a reserved slot durable and lets go of it.
func (t *Table) create(e *entry) error {
	name := e.name
	t.io.Lock()
	err := t.write(e.record)
	if err == nil {
		err = t.fs.SyncDir()
	}
	if err != nil {
		// The name must not come back after a restart when the client was told that it failed.
		_ = t.fs.Remove(name)
	}
	t.io.Unlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	e.release()
	if err != nil {
		delete(t.slots, name)
		if t.node != "" { // what it was made from, or nothing that anybody has heard of
			t.remember(record{
				name: name, dropped: true, generation: e.generation, owner: t.node, stamp: 1, created: e.created,
			}).dirty = true
		}
		return ioError("create", name, err)
	}
	t.note(e)
	t.changed.Wake()
	return nil
}

// reserve takes the name. A persistent slot stays active for its creator until it is durable.
func (t *Table) reserve(e *entry, owner int32, claim *shared.State) error {
	if err := grammar.ValidateSlotName(e.name); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, asked := t.pending[e.name]; t.slots[e.name] != nil || asked && claim == nil {
		return ErrExists(e.name)
	}
	if len(t.slots) >= t.max {
		return errFull()
	}
	if t.node != "" && !e.temporary && t.crowded() {
		return t.errCrowded()
	}
	switch {
	case e.temporary:
		e.session = owner
	case claim != nil && !t.redeem(*claim):
		return ErrExists(e.name) // somebody else was quicker, and the next look shows it
	case t.node != "":
		e.active = owner
		have := t.has(e.name).Generation
		if have == 0 {
			have = t.lowestGeneration()
		}
		e.generation, e.owner, e.stamp = have+1, t.node, 1
	default:
		e.active = owner
	}
	if !e.temporary { // which other members never hear of: the drop of a slot of that name they must
		delete(t.tombstones, e.name)
	}
	t.slots[e.name] = e
	return nil
}

func errFull() error {
	return pgerror.New(pgerror.ConfigurationLimit, "all replication slots are in use").
		WithHint(`Free one or increase "max_replication_slots".`)
}
