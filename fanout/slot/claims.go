package slot

import (
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// pending is an offer to the other members, and the session that waits for their answers.
type pending struct {
	claim shared.State
	pid   int32
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
		if t.crowded() {
			return claim, have, t.errCrowded()
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
