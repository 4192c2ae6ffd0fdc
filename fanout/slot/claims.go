package slot

import (
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// pending is an offer to the other members, and the session that waits for their answers.
type pending struct {
	claim shared.State
	pid   int32
}

// Propose returns the claim of session pid to what it wants of a slot, and what is known of the slot. Whoever shares
// the slots agrees to the claim, or does not; where there are no other members it stands at once. Then it is for
// Create, Adopt, Acquire or Drop, or for Retract. Until one of these the name is taken. The claim to a temporary slot
// has a name only: nobody else has heard of it. Errors are PostgreSQL's, of what is known here: 42704, 42710, 53400,
// 42602, 42622, and 55006 for a session of this proxy.
func (t *Table) Propose(w shared.Wish, name string, pid int32) (claim, have shared.State, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, asked := t.slots[name], t.pending[name]
	switch {
	case w == shared.Create:
		if err := t.vacant(name); err != nil {
			return claim, have, err
		}
		if t.crowded() {
			return claim, have, t.errCrowded()
		}
	case e == nil:
		return claim, have, errMissing(name)
	case e.usedBesides(pid):
		return claim, have, errActive(name, e.holder())
	case e.temporary:
		return shared.State{Name: name}, have, nil
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
	t.endProposal(claim)
}

// endProposal ends a proposal. It reports whether the claim stands: it was not beaten meanwhile. The caller holds mu.
func (t *Table) endProposal(claim shared.State) bool {
	if t.pending[claim.Name].claim != claim {
		return false
	}
	delete(t.pending, claim.Name)
	return shared.Compare(t.has(claim.Name), claim) < 0
}

// redeem ends a proposal and returns the slot that session pid may use now. It fails with 42704 when the slot is gone,
// and with 55006 when the claim was beaten or another session uses the slot. The caller holds mu.
func (t *Table) redeem(claim shared.State, pid int32) (*entry, error) {
	stands := t.endProposal(claim)
	e := t.slots[claim.Name]
	switch {
	case e == nil:
		return nil, errMissing(claim.Name)
	case !stands && !e.temporary, e.usedBesides(pid):
		return nil, errActive(claim.Name, e.holder())
	}
	return e, nil
}

// usedBesides reports whether a session of this proxy keeps session pid from using the slot. The caller holds mu.
func (e *entry) usedBesides(pid int32) bool { return e.active != 0 || e.temporary && e.session != pid }

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
