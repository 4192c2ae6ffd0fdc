package slot

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ownerOf returns the member whose session used a slot last. It is "" for a proxy alone, whatever a cluster that it has
// left knew (docs/adr/0084). The caller holds mu.
func (t *Table) ownerOf(e *entry) string {
	if t.node == "" {
		return ""
	}
	return e.owner
}

// foreign reports whether another member's session used a slot last. The caller holds mu.
func (t *Table) foreign(e *entry) bool {
	owner := t.ownerOf(e)
	return owner != "" && owner != t.node
}

// note says that this proxy has changed what members share of e, if they do. The caller holds mu.
func (t *Table) note(e *entry) {
	if !e.shared() {
		return
	}
	if e.dirty = true; !t.foreign(e) {
		e.stamp++ // only owners do
	}
}

// Changed has room for one token and gets it when the other members should hear something at once.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// has returns the state that is known of a name. The caller holds mu.
func (t *Table) has(name string) shared.State {
	switch e, g := t.slots[name], t.tombstones[name]; {
	case e != nil && !e.temporary:
		return e.state()
	case g != nil:
		return g.state()
	}
	return shared.State{}
}

func (e *entry) state() shared.State {
	s := shared.State{
		Name: e.name, Generation: e.generation, Owner: e.owner, Stamp: e.stamp, Dropped: e.dropped,
		Idle: e.lost == IdleTimeout, ActivePID: e.remote, Restart: e.restart, Xmin: e.xmin, Catalog: e.catalog,
		Created: e.created,
	}
	if e.guard != nil {
		s.ActivePID = e.active
	}
	switch e.real {
	case Adopted:
		s.Real = shared.Adopted
	case Mirrored:
		s.Real = shared.Mirrored
	}
	return s
}

// take overwrites the slot e with the state s, which another member wrote. The caller holds mu.
func (t *Table) take(e *entry, s shared.State) {
	if s.ActivePID != 0 { // the standby that uses it reports its xmin to the present primary
		e.life = t.life
	}
	e.generation, e.owner, e.stamp, e.dropped = s.Generation, s.Owner, s.Stamp, s.Dropped
	e.restart, e.xmin, e.catalog, e.created = s.Restart, s.Xmin, s.Catalog, s.Created
	e.real = [...]Real{shared.NoReal: NoReal, shared.Adopted: Adopted, shared.Mirrored: Mirrored}[s.Real]
	if e.guard == nil {
		e.remote = 0
		if t.foreign(e) {
			e.remote = s.ActivePID
		}
	}
	switch {
	case s.Idle:
		e.lost = IdleTimeout
	case e.lost == IdleTimeout:
		e.lost = NotLost
	case e.lost == WALRemoved && t.foreign(e):
		e.lost, e.unkept = NotLost, true // to who uses it now it may be not lost
	}
	e.dirty = true
}

// side returns this member in a decision about a name. The caller holds mu.
func (t *Table) side(name string, hears func(string) bool) shared.Side {
	e := t.slots[name]
	return shared.Side{
		Self: t.node, Have: t.has(name), Pending: t.pending[name].claim, Live: e != nil && e.guard != nil,
		Hears: hears,
	}
}

// Shared returns every slot that members share, and every tombstone, by name.
func (t *Table) Shared() []shared.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []shared.State
	for _, e := range t.slots {
		if e.shared() {
			all = append(all, e.state())
		}
	}
	for _, e := range t.tombstones {
		all = append(all, e.state())
	}
	slices.SortFunc(all, func(a, b shared.State) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Known returns the state that is known of a name, that of a dropped slot as well; the zero State: nothing. Any
// goroutine may call it.
func (t *Table) Known(name string) shared.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has(name)
}

// Meet takes over another member's state of a slot, if that is newer, and returns the state that is known then. A
// session that has to give way to another one is ended. One that a table has no room for, for it or its tombstone, is
// left out: whoever told it is not confirmed.
func (t *Table) Meet(o shared.State) (now shared.State, met shared.Met) {
	t.mu.Lock()
	e := t.slots[o.Name]
	if e != nil && (e.temporary || e.active != 0 && e.guard == nil) || e == nil && !t.takes(o) {
		defer t.mu.Unlock()
		return t.has(o.Name), shared.Kept // being made or dropped here: it will be said again
	}
	next, met := t.side(o.Name, nil).Meet(o)
	var evict func()
	switch {
	case met == shared.Kept:
	case next.Dropped:
		t.remember(t.recordOf(next), false)
		if e != nil {
			delete(t.slots, o.Name)
			e.release()
		}
	case e == nil:
		e = &entry{since: time.Now()}
		e.name = o.Name
		t.take(e, next)
		delete(t.tombstones, o.Name)
		t.slots[o.Name] = e
	default:
		if met == shared.Yielded {
			evict, e.guard.e, e.guard.taken = e.evict, nil, true
			e.release()
		}
		used := e.holder() != 0
		t.take(e, next)
		if e.holder() == 0 && used {
			e.since = time.Now()
			e.wake()
		}
		t.outlived(e)
	}
	if met == shared.Claimed || met == shared.Yielded {
		t.changed.Wake()
	}
	t.mu.Unlock()
	if evict != nil {
		evict()
	}
	return next, met
}

func (t *Table) recordOf(s shared.State) record {
	return record{
		name: s.Name, generation: s.Generation, owner: s.Owner, stamp: s.Stamp, dropped: s.Dropped, created: s.Created,
	}
}

// Keep says whether the WAL of a slot is kept here; another member keeps it when it is not. A name that nobody has is
// ignored.
func (t *Table) Keep(name string, keep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.slots[name]; e != nil {
		e.unkept = !keep
	}
}

// Revive makes a slot whose WAL was given up here usable again, because another member keeps it. Any other slot stays
// as it is.
func (t *Table) Revive(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.slots[name]; e != nil && e.lost == WALRemoved {
		e.lost, e.unkept, e.dirty = NotLost, true, true
	}
}

// ErrActive returns 55006: the slot is in use.
func ErrActive(name string, pid int32) *pgerror.Error { return errActive(name, pid) }

// ErrDoubted is the cause of a 55006 while the session that has the slot is asked whether its standby has left it.
var ErrDoubted = errors.New("the session that has the slot is asked whether it lives")
