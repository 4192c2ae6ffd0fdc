package slot

import (
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Guard is a slot held by one walsender. Methods may be called from any goroutine; after Release, or
// when the slot was dropped or taken over by another member under it, they do nothing.
type Guard struct {
	t *Table
	e *entry // nil after Release; guarded by t.mu
	// taken: another member has the slot now; guarded by t.mu.
	taken bool
}

// Acquire makes the slot that session pid has claimed active for it: 42704 when it is gone, 55006 when the claim was
// beaten.
func (t *Table) Acquire(claim shared.State, pid int32) (*Guard, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.redeem(claim, pid)
	if err != nil {
		return nil, err
	}
	g := &Guard{t: t, e: e}
	e.generation, e.owner, e.stamp = claim.Generation, claim.Owner, claim.Stamp
	e.active, e.remote, e.guard = pid, 0, g
	t.note(e)
	t.changed.Wake()
	return g, nil
}

// Release makes the slot inactive. It may be called more than once.
func (g *Guard) Release() {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.e != nil && g.t.slots[g.e.name] == g.e {
		g.e.release()
		g.t.outlived(g.e)
		g.t.note(g.e)
		g.t.changed.Wake()
	}
	g.e = nil
}

// OnLost sets the function that ends the session when the slot is invalidated under it, or taken over by another
// member. It is called at most once, often from another goroutine. A slot that was lost before is no reason to call it.
func (g *Guard) OnLost(evict func()) {
	g.t.mu.Lock()
	if g.e != nil {
		g.e.evict = evict
	}
	taken := g.taken
	g.t.mu.Unlock()
	if taken { // before anybody was told
		evict()
	}
}

// Lost returns the reason for which the slot holds nothing any more, NotLost while it does.
func (g *Guard) Lost() Cause {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.e == nil {
		return NotLost
	}
	return g.e.lost
}

// Confirm sets restart_lsn to a flush position that the standby reported, even a lower one; 0 is no
// report (facts G). It is in memory at once and on disk with the next Persist. A lost slot stays lost.
func (g *Guard) Confirm(flush lsn.LSN) {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if e := g.e; e != nil && e.lost == NotLost && flush != lsn.Invalid && e.restart != flush {
		e.restart, e.dirty = flush, true
		g.t.note(e)
	}
}

// SetXmin keeps the xmins that the standby's queries (xmin) and slots (catalog) still need. Both survive its
// disconnection, since the slot goes on holding them (facts F5, R20).
func (g *Guard) SetXmin(xmin, catalog copyboth.FullXID) {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	e := g.e
	if e == nil || e.lost != NotLost {
		return
	}
	e.life = g.t.life
	if e.xmin != xmin || e.catalog != catalog {
		e.xmin, e.catalog, e.dirty = xmin, catalog, true
		g.t.note(e)
	}
}
