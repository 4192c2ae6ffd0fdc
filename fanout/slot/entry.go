package slot

import (
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// entry is one slot; guarded by Table.mu.
type entry struct {
	record
	temporary bool
	session   int32         // that a temporary slot belongs to
	active    int32         // session that streams, creates or drops; 0: none
	freed     chan struct{} // closed when active becomes 0 or the slot is gone; made by waiters
	since     time.Time     // when it last became inactive
	evict     func()        // ends the session that streams; nil: none to end
	guard     *Guard        // of the session that streams; nil: none does
	remote    int32         // session that uses it at another member
	unkept    bool          // another member keeps its WAL, this one does not
	user      User          // of the session that used it last; zero: none since the start
	life      uint64        // of the primary to which xmin and catalog_xmin were said, as Table.life counts

	dropping bool    // Drop is removing the file
	dirty    bool    // memory differs from the file
	saved    lsn.LSN // restart_lsn that the file surely holds
	inFlight lsn.LSN // lowest restart_lsn of writes whose outcome is not known; 0: none
}

// Info is a copy of a slot's state.
type Info struct {
	Name        string
	Temporary   bool
	ActivePID   int32   // 0: not active
	Restart     lsn.LSN // Invalid: reserves nothing
	Xmin        copyboth.FullXID
	CatalogXmin copyboth.FullXID
	Lost        Cause
	Real        Real
	Created     time.Time
	Inactive    time.Time // zero while active; the start of the proxy counts

	User User // who used it last here; zero: nobody since the start

	Owner   string // member whose session used it last; "" without a cluster
	Foreign bool   // that is another one
	Unkept  bool   // its WAL is not kept here, but elsewhere
}

func (t *Table) info(e *entry) Info {
	i := Info{
		Name: e.name, Temporary: e.temporary, ActivePID: e.holder(), Restart: e.restart,
		Xmin: e.xmin, CatalogXmin: e.catalog, Lost: e.lost, Real: e.real, Created: e.created.Time(),
		Owner: t.ownerOf(e), Foreign: t.foreign(e), Unkept: e.unkept,
		User: e.user,
	}
	if e.lost == WALRemoved {
		i.Restart = lsn.Invalid // facts G
	}
	if i.ActivePID == 0 {
		i.Inactive = e.since
	}
	return i
}

// holder returns the session that the slot is active for: a temporary slot always has one (facts G).
func (e *entry) holder() int32 {
	switch {
	case e.active != 0:
		return e.active
	case e.temporary:
		return e.session
	}
	return e.remote
}

// held returns the lowest restart_lsn that the slot may turn out to have: in memory, or in its file after a crash. WAL
// from there on must be kept. Invalid: the slot reserves none.
func (e *entry) held() lsn.LSN {
	if e.unkept {
		return lsn.Invalid
	}
	low := e.holds() // the file of a lost slot may still say otherwise
	if e.temporary {
		return low
	}
	for _, l := range []lsn.LSN{e.saved, e.inFlight} {
		if l != lsn.Invalid && (low == lsn.Invalid || l < low) {
			low = l
		}
	}
	return low
}

// release ends the activity and wakes who waits for it. The caller holds mu.
func (e *entry) release() {
	e.active, e.since, e.evict, e.guard = 0, time.Now(), nil, nil
	e.wake()
}

// wake wakes all that wait for the end of the activity. The caller holds mu.
func (e *entry) wake() {
	if e.freed != nil {
		close(e.freed)
		e.freed = nil
	}
}
