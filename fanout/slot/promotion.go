package slot

import "github.com/replproxy/replproxy/grammar/lsn"

// User is a standby that used a slot.
type User struct {
	Name     string         // application_name
	Host     string         // address without port; "" for a unix socket
	Timeline lsn.TimelineID // that it asked for; 0: it named none
}

// UsedBy notes the user of the slot. It is kept in memory only.
func (g *Guard) UsedBy(u User) {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.e != nil {
		g.e.user = u
	}
}

// Switched begins another life of the primary, because another server has become it: what a slot holds of xmin belongs
// to the life of the one before (ruling R41). A slot that no session holds lets its xmin go now. One that a session
// holds lets it go when that ends without having said it anew. catalog_xmin stays until [Table.Settled].
func (t *Table) Switched() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life++
	for _, e := range t.slots {
		t.outlived(e)
	}
}

// Settled ends the time that standbys had since the last [Table.Switched] to say catalog_xmin anew.
func (t *Table) Settled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled = t.life
	for _, e := range t.slots {
		t.outlived(e)
	}
}

// outlived lets go of what was said to a server that is not the primary any more. The caller holds mu.
func (t *Table) outlived(e *entry) {
	if e.life == t.life || e.holder() != 0 {
		return
	}
	catalog := e.catalog
	if t.settled == t.life {
		catalog = 0
	}
	if e.xmin != 0 || e.catalog != catalog {
		e.xmin, e.catalog, e.dirty = 0, catalog, true
		t.note(e)
	}
}

// Unreserve makes a slot that nobody uses hold no WAL until it is used again: it keeps what wal.keep_size keeps for
// all. false: there is none, somebody uses it, or it holds none.
func (t *Table) Unreserve(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil || e.temporary || e.dropping || e.holder() != 0 || e.lost != NotLost || e.restart == lsn.Invalid {
		return false
	}
	e.restart, e.xmin, e.catalog, e.dirty = lsn.Invalid, 0, 0, true
	t.note(e)
	return true
}
