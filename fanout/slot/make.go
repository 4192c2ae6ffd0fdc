package slot

import (
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ErrExists returns 42710: there is a slot of that name.
func ErrExists(name string) error {
	return pgerror.New(pgerror.DuplicateObject, `replication slot "%s" already exists`, name)
}

// Seed holds the values with which a slot begins. The zero value holds nothing.
type Seed struct {
	Restart           lsn.LSN // Invalid: it reserves nothing
	Xmin, CatalogXmin copyboth.FullXID
	Real              Real
}

// Create makes the persistent slot that session pid has claimed. It is durable when it returns nil. Errors are
// PostgreSQL's: 42710, also when the claim was beaten, and 53400 (facts G); a disk error is not.
func (t *Table) Create(claim shared.State, s Seed, pid int32) error {
	made, err := t.reserve(claim, s, pid)
	if err != nil {
		return err
	}
	return t.commit(made)
}

// CreateTemporary makes a slot that belongs to a session until DropTemporary. It has no file, and no other member hears
// of it. Errors are PostgreSQL's: 42602, 42622, 42710, 53400 (facts G).
func (t *Table) CreateTemporary(name string, restart lsn.LSN, session int32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.vacant(name); err != nil {
		return err
	}
	e := t.newEntry(name, Seed{Restart: restart})
	e.temporary, e.session = true, session
	t.slots[name] = e
	return nil
}

// vacant returns nil when a slot of a name can be made, or why not: 42602, 42622, 42710, 53400. The caller holds mu.
func (t *Table) vacant(name string) error {
	if err := grammar.ValidateSlotName(name); err != nil {
		return err
	}
	if _, asked := t.pending[name]; asked || t.slots[name] != nil {
		return ErrExists(name)
	}
	if len(t.slots) >= t.max {
		return pgerror.New(pgerror.ConfigurationLimit, "all replication slots are in use").
			WithHint(`Free one or increase "max_replication_slots".`)
	}
	return nil
}

// newEntry returns the entry of a slot that begins. The caller holds mu.
func (t *Table) newEntry(name string, s Seed) *entry {
	now := time.Now()
	return &entry{saved: s.Restart, since: now, life: t.life, record: record{
		name: name, restart: s.Restart, xmin: s.Xmin, catalog: s.CatalogXmin, real: s.Real,
		created: copyboth.TimeOf(now),
	}}
}

// reserve takes the name, in memory only: see commit. The slot stays active for its creator, pid, until it is durable.
// Errors are PostgreSQL's: the name is taken or none, or there is no room.
func (t *Table) reserve(claim shared.State, s Seed, pid int32) (made unsaved, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stands := t.endProposal(claim)
	if err := t.vacant(claim.Name); err != nil {
		return made, err
	}
	if t.crowded() {
		return made, t.errCrowded()
	}
	if !stands {
		return made, ErrExists(claim.Name) // somebody else was quicker, and the next look shows it
	}
	known := t.has(claim.Name).Generation
	if known == 0 {
		known = t.lowestGeneration()
	}
	e := t.newEntry(claim.Name, s)
	e.active = pid
	e.generation, e.owner, e.stamp = known+1, claim.Owner, 1
	delete(t.tombstones, e.name)
	t.slots[e.name] = e
	return unsaved{e, e.record}, nil
}

// commit makes a reserved slot durable and lets go of it. It blocks for the disk. After an error there is no such slot.
func (t *Table) commit(made unsaved) error {
	e, name := made.e, made.r.name
	t.io.Lock()
	err := t.write(made.r)
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
		// What it was made from, or nothing that anybody has heard of.
		t.remember(t.tombstone(name, e.generation), false)
		return ioError("create", name, err)
	}
	t.note(e)
	t.changed.Wake()
	return nil
}
