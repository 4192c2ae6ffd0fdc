package slot

import (
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// pending is an offer to the other members, and the session that waits for their answers.
type pending struct {
	claim shared.State
	pid   int32
}

// foreign: another member's session used it last.
func (t *Table) foreign(e *entry) bool { return t.node != "" && e.owner != "" && e.owner != t.node }

// note says that this proxy has changed what a cluster shares of e. The caller holds mu.
func (t *Table) note(e *entry) {
	if t.node == "" || e.temporary {
		return
	}
	if e.dirty = true; !t.foreign(e) {
		e.stamp++ // only owners do
	}
}

// Changed has one slot and gets a token when the other members should hear something at once.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// signal puts a token into a one-slot channel unless one is there.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// has is what is known of a name. The caller holds mu.
func (t *Table) has(name string) shared.State {
	switch e, g := t.slots[name], t.graves[name]; {
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

// take makes e what s says. The caller holds mu.
func (t *Table) take(e *entry, s shared.State) {
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

// side is this member in a decision about a name. The caller holds mu.
func (t *Table) side(name string, hears func(string) bool) shared.Side {
	e := t.slots[name]
	return shared.Side{
		Self: t.node, Have: t.has(name), Pending: t.pending[name].claim, Live: e != nil && e.guard != nil,
		Hears: hears,
	}
}

// Shared is every slot that members share, and every grave, by name.
func (t *Table) Shared() []shared.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []shared.State
	for _, e := range t.slots {
		if !e.temporary && e.generation != 0 {
			all = append(all, e.state())
		}
	}
	for _, e := range t.graves {
		all = append(all, e.state())
	}
	slices.SortFunc(all, func(a, b shared.State) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Known is what is known of a name; the zero State: nothing.
func (t *Table) Known(name string) shared.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has(name)
}

// Propose is the offer that session pid makes to the other members for what it wants, and what is known of the
// slot. Until Retract or one of the Claimed methods the name is taken. Errors are PostgreSQL's, of what is
// known here: 42704, 42710, 53400, 42602, and 55006 for a session of this proxy.
func (t *Table) Propose(w shared.Wish, name string, pid int32) (claim, have shared.State, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, asked := t.slots[name], t.pending[name]
	switch {
	case w == shared.Create:
		if err := grammar.ValidateSlotName(name); err != nil {
			return claim, have, err
		}
		if e != nil || asked.pid != 0 {
			return claim, have, ErrExists(name)
		}
		if len(t.slots) >= t.max {
			return claim, have, errFull()
		}
	case e == nil:
		return claim, have, errMissing(name)
	case e.active != 0:
		return claim, have, errActive(name, e.active)
	case asked.pid != 0:
		return claim, have, errActive(name, asked.pid)
	}
	if have = t.has(name); have.Generation >= shared.MaxGeneration {
		return claim, have, pgerror.New(pgerror.ConfigurationLimit,
			`replication slot "%s" cannot change any more`, name).
			WithDetail("A member of the cluster has given it the last generation that there is. Use another name.")
	}
	claim = have.Next(w, name, t.node, pid)
	t.pending[name] = pending{claim, pid}
	return claim, have, nil
}

// Retract ends a proposal without a result.
func (t *Table) Retract(claim shared.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending[claim.Name].claim == claim {
		delete(t.pending, claim.Name)
	}
}

// redeem ends a proposal that nobody minds; false: it was beaten meanwhile. The caller holds mu.
func (t *Table) redeem(claim shared.State) bool {
	stands := t.pending[claim.Name].claim == claim && shared.Compare(t.has(claim.Name), claim) < 0
	if t.pending[claim.Name].claim == claim {
		delete(t.pending, claim.Name)
	}
	return stands
}

// Offer answers another member's proposal; said is the state that stands in its way.
func (t *Table) Offer(w shared.Wish, o shared.State, hears func(string) bool) (why shared.Why, said shared.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	side := t.side(o.Name, hears)
	why = side.Offer(w, o)
	if why == shared.Accepted || why == shared.Witness { // which the owner's word may outweigh
		delete(t.pending, o.Name) // a lesser one
	}
	if why == shared.Busy && !side.Live {
		return why, side.Pending
	}
	return why, side.Have
}

// Meet takes over what another member says, if that is newer, and gives what is known then. A session that
// has to give way to another one is ended. One that a table has no room for is left out.
func (t *Table) Meet(o shared.State) (now shared.State, met shared.Met) {
	t.mu.Lock()
	e := t.slots[o.Name]
	if e != nil && (e.temporary || e.active != 0 && e.guard == nil) || e == nil && o.Exists() && len(t.slots) >= t.max {
		defer t.mu.Unlock()
		return t.has(o.Name), shared.Kept // being made or dropped here: it will be said again
	}
	next, met := t.side(o.Name, nil).Meet(o)
	var evict func()
	switch {
	case met == shared.Kept:
	case next.Dropped:
		t.bury(t.recordOf(next)).dirty = true
		if e != nil {
			delete(t.slots, o.Name)
			e.release()
		}
	case e == nil:
		e = &entry{since: time.Now()}
		e.name = o.Name
		t.take(e, next)
		delete(t.graves, o.Name)
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
	}
	if met == shared.Claimed || met == shared.Yielded {
		signal(t.changed)
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

// bury keeps a grave, so that a member that has not heard of the drop does not bring the slot back. There are
// as many as there may be slots; the one dropped longest ago is forgotten for another one. The caller holds mu.
func (t *Table) bury(r record) *entry {
	if len(t.graves) >= t.max && t.graves[r.name] == nil {
		var oldest *entry
		for _, g := range t.graves {
			if oldest == nil || g.created < oldest.created {
				oldest = g
			}
		}
		delete(t.graves, oldest.name)
		t.expired = append(t.expired, oldest.name)
	}
	e := &entry{record: r}
	t.graves[r.name] = e
	return e
}

// takeExpired are the files that go. The caller holds io.
func (t *Table) takeExpired() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := slices.DeleteFunc(t.expired, func(name string) bool {
		return t.slots[name] != nil || t.graves[name] != nil
	})
	t.expired = nil
	return gone
}

// AcquireClaimed is Acquire of a slot to which all who were asked have agreed. 55006 when the claim was beaten.
func (t *Table) AcquireClaimed(claim shared.State, pid int32) (*Guard, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stands := t.redeem(claim)
	e := t.slots[claim.Name]
	switch {
	case e == nil:
		return nil, errMissing(claim.Name)
	case !stands || e.active != 0:
		return nil, errActive(claim.Name, e.holder())
	}
	e.generation, e.owner, e.stamp = claim.Generation, claim.Owner, claim.Stamp
	return t.guard(e, pid), nil
}

// MakeClaimed makes a persistent slot to which all who were asked have agreed.
func (t *Table) MakeClaimed(claim shared.State, s Seed, pid int32) error {
	return t.make(s, pid, &claim)
}

// AdoptClaimed is Adopt in the same way.
func (t *Table) AdoptClaimed(claim shared.State, a Adoption, pid int32) error {
	return t.make(a.seed(), pid, &claim)
}

// DropClaimed drops a slot to which all who were asked have agreed. 55006 when the claim was beaten.
func (t *Table) DropClaimed(claim shared.State, pid int32) error {
	t.mu.Lock()
	stands := t.redeem(claim)
	e := t.slots[claim.Name]
	var err error
	switch {
	case e == nil:
		err = errMissing(claim.Name)
	case !stands || e.active != 0:
		err = errActive(claim.Name, e.holder())
	default:
		e.active, e.dropping = pid, true
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return t.remove(e)
}

// Keep says whether the WAL of a slot is kept here; another member keeps it when it is not.
func (t *Table) Keep(name string, keep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.slots[name]; e != nil {
		e.unkept = !keep
	}
}

// Revive makes a slot whose WAL was given up here usable again, because another member keeps it.
func (t *Table) Revive(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.slots[name]; e != nil && e.lost == WALRemoved {
		e.lost, e.unkept, e.dirty = NotLost, true, true
	}
}

// ErrActive is 55006.
func ErrActive(name string, pid int32) *pgerror.Error { return errActive(name, pid) }
