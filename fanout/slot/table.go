package slot

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// DefaultMax is how many slots a table holds when Options.Max is 0. A slot costs a file and one
// fsync per Persist; far more standbys than this belong behind cascading proxies.
const DefaultMax = 1024

// Options of Open. The zero value is usable.
type Options struct {
	FS  FS  // nil: the directory dir of the operating system
	Max int // slots, temporary ones included; 0: DefaultMax
	// Node is this proxy's name in a cluster, whose members share their persistent slots; "": no cluster.
	Node string
}

// Table holds all slots of a proxy. Safe for concurrent use. Only Create and Drop of persistent slots
// and Persist wait for the disk.
type Table struct {
	fs      FS     // its calls are serialised by io
	max     int    // fixed
	node    string // fixed
	changed chan struct{}

	io sync.Mutex // held around file operations, never inside mu

	mu      sync.Mutex
	slots   map[string]*entry
	graves  map[string]*entry  // of dropped slots that a cluster shared; no name is in both
	pending map[string]pending // what other members are being asked for
	expired []string           // files of graves that are forgotten
}

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

	dropping bool    // Drop is removing the file
	dirty    bool    // memory differs from the file
	saved    lsn.LSN // restart_lsn that the file surely holds
	inFlight lsn.LSN // lowest restart_lsn of writes whose outcome is not known; 0: none
}

// Info is a copy of a slot's state.
type Info struct {
	Name        string           `json:"slot_name"`
	Temporary   bool             `json:"temporary"`
	ActivePID   int32            `json:"active_pid,omitempty"` // 0: not active
	Restart     lsn.LSN          `json:"restart_lsn"`          // Invalid: reserves nothing
	Xmin        copyboth.FullXID `json:"xmin,omitempty"`
	CatalogXmin copyboth.FullXID `json:"catalog_xmin,omitempty"`
	Lost        Cause            `json:"invalidation_reason,omitempty"`
	Real        Real             `json:"real,omitempty"`
	Created     time.Time        `json:"created"`
	Inactive    time.Time        `json:"inactive_since"` // zero while active; the start of the proxy counts

	Owner   string `json:"owner,omitempty"`   // member whose session used it last; "" without a cluster
	Foreign bool   `json:"foreign,omitempty"` // that is another one
	Unkept  bool   `json:"unkept,omitempty"`  // its WAL is not kept here, but elsewhere
}

func (t *Table) info(e *entry) Info {
	i := Info{
		Name: e.name, Temporary: e.temporary, ActivePID: e.holder(), Restart: e.restart,
		Xmin: e.xmin, CatalogXmin: e.catalog, Lost: e.lost, Real: e.real, Created: e.created.Time(),
		Owner: e.owner, Foreign: t.foreign(e), Unkept: e.unkept,
	}
	if e.lost == WALRemoved {
		i.Restart = lsn.Invalid // facts G
	}
	if i.ActivePID == 0 {
		i.Inactive = e.since
	}
	return i
}

// holder is the session that the slot is active for: a temporary slot always has one (facts G).
func (e *entry) holder() int32 {
	switch {
	case e.active != 0:
		return e.active
	case e.temporary:
		return e.session
	}
	return e.remote
}

// held is the lowest restart_lsn that memory or, after a crash, the file can show. Invalid: none.
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

// wake wakes who waits for the end of the activity. The caller holds mu.
func (e *entry) wake() {
	if e.freed != nil {
		close(e.freed)
		e.freed = nil
	}
}

// ErrExists is 42710.
func ErrExists(name string) error {
	return pgerror.New(pgerror.DuplicateObject, `replication slot "%s" already exists`, name)
}

func errMissing(name string) error {
	return pgerror.New(pgerror.UndefinedObject, `replication slot "%s" does not exist`, name)
}

func errActive(name string, pid int32) *pgerror.Error {
	return pgerror.New(pgerror.ObjectInUse, `replication slot "%s" is active for PID %d`, name, pid)
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
	e := &entry{temporary: s.Temporary, saved: s.Restart, since: time.Now()}
	e.record = record{
		name: s.Name, restart: s.Restart, xmin: s.Xmin, catalog: s.CatalogXmin, real: s.Real,
		created: copyboth.TimeOf(time.Now()),
	}
	if err := t.reserve(e, owner, claim); err != nil || s.Temporary {
		return err
	}
	return t.create(e)
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
			t.bury(record{
				name: name, dropped: true, generation: e.generation, owner: t.node, stamp: 1, created: e.created,
			}).dirty = true
		}
		return ioError("create", name, err)
	}
	t.note(e)
	signal(t.changed)
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
	switch {
	case e.temporary:
		e.session = owner
	case claim != nil && !t.redeem(*claim):
		return ErrExists(e.name) // somebody else was quicker, and the next look shows it
	case t.node != "":
		e.active = owner
		e.generation, e.owner, e.stamp = t.has(e.name).Generation+1, t.node, 1
	default:
		e.active = owner
	}
	delete(t.graves, e.name)
	t.slots[e.name] = e
	return nil
}

func errFull() error {
	return pgerror.New(pgerror.ConfigurationLimit, "all replication slots are in use").
		WithHint(`Free one or increase "max_replication_slots".`)
}

// Read is the state of a slot; false when there is none.
func (t *Table) Read(name string) (Info, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil {
		return Info{}, false
	}
	return t.info(e), true
}

// List is the state of all slots, by name.
func (t *Table) List() []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Info, 0, len(t.slots))
	for _, e := range t.slots {
		all = append(all, t.info(e))
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Oldest is the position from which the store must keep WAL for the slots (invariant 4); Invalid
// when no slot holds any.
func (t *Table) Oldest() lsn.LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := lsn.Invalid
	for _, e := range t.slots {
		if h := e.held(); h != lsn.Invalid && (oldest == lsn.Invalid || h < oldest) {
			oldest = h
		}
	}
	return oldest
}

// Rewind moves every restart_lsn beyond limit back to it, in memory at once and on disk with the next
// Persist, and names the slots: the WAL beyond limit is no longer what it was.
func (t *Table) Rewind(limit lsn.LSN) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name, e := range t.slots {
		if e.lost == NotLost && e.restart > limit {
			e.restart, e.dirty = limit, true
			t.note(e)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

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
	grave := record{name: e.name, dropped: true, owner: t.node, stamp: 1, created: copyboth.TimeOf(time.Now())}
	t.mu.Lock()
	grave.generation = e.generation + 1
	t.mu.Unlock()
	buries := t.node != "" && !e.temporary
	var err error
	if !e.temporary {
		t.io.Lock()
		if buries {
			err = t.write(grave)
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
		if buries {
			t.bury(grave)
			signal(t.changed)
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
