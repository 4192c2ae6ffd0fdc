package slot

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

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
}

// Table holds all slots of a proxy. Safe for concurrent use. Only Create and Drop of persistent slots
// and Persist wait for the disk.
type Table struct {
	fs  FS  // its calls are serialised by io
	max int // fixed

	io sync.Mutex // held around file operations, never inside mu

	mu    sync.Mutex
	slots map[string]*entry
}

// entry is one slot; guarded by Table.mu.
type entry struct {
	record
	temporary bool
	owner     int32         // session of a temporary slot
	active    int32         // session that streams, creates or drops; 0: none
	freed     chan struct{} // closed when active becomes 0 or the slot is gone; made by waiters
	since     time.Time     // when it last became inactive
	evict     func()        // ends the session that streams; nil: none to end

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
}

func (e *entry) info() Info {
	i := Info{
		Name: e.name, Temporary: e.temporary, ActivePID: e.holder(), Restart: e.restart,
		Xmin: e.xmin, CatalogXmin: e.catalog, Lost: e.lost, Real: e.real, Created: e.created.Time(),
	}
	if i.ActivePID == 0 {
		i.Inactive = e.since
	}
	return i
}

// holder is the session that the slot is active for: a temporary slot always has one (facts G).
func (e *entry) holder() int32 {
	if e.active != 0 {
		return e.active
	}
	return e.owner
}

// held is the lowest restart_lsn that memory or, after a crash, the file can show. Invalid: none.
func (e *entry) held() lsn.LSN {
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
	e.active, e.since, e.evict = 0, time.Now(), nil
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

func errActive(name string, pid int32) error {
	return pgerror.New(pgerror.ObjectInUse, `replication slot "%s" is active for PID %d`, name, pid)
}

// Create makes a slot that begins to hold WAL at restart (Invalid: reserves nothing). A persistent
// slot is durable when it returns; a temporary one belongs to session owner until DropTemporary.
// Errors are PostgreSQL's: 42602, 42622, 42710, 53400 (facts G); a disk error is not.
func (t *Table) Create(name string, temporary bool, restart lsn.LSN, owner int32) error {
	e := &entry{temporary: temporary, saved: restart, since: time.Now()}
	e.record = record{name: name, restart: restart, created: copyboth.TimeOf(time.Now())}
	if err := t.reserve(e, owner); err != nil || temporary {
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
		return ioError("create", name, err)
	}
	return nil
}

// reserve takes the name. A persistent slot stays active for its creator until it is durable.
func (t *Table) reserve(e *entry, owner int32) error {
	if err := grammar.ValidateSlotName(e.name); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slots[e.name] != nil {
		return ErrExists(e.name)
	}
	if len(t.slots) >= t.max {
		return pgerror.New(pgerror.ConfigurationLimit, "all replication slots are in use").
			WithHint(`Free one or increase "max_replication_slots".`)
	}
	if e.temporary {
		e.owner = owner
	} else {
		e.active = owner
	}
	t.slots[e.name] = e
	return nil
}

// Read is the state of a slot; false when there is none.
func (t *Table) Read(name string) (Info, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil {
		return Info{}, false
	}
	return e.info(), true
}

// List is the state of all slots, by name.
func (t *Table) List() []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Info, 0, len(t.slots))
	for _, e := range t.slots {
		all = append(all, e.info())
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
	var err error
	if !e.temporary {
		t.io.Lock()
		if err = t.fs.Remove(e.name); err == nil {
			err = t.fs.SyncDir()
		}
		t.io.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.slots, e.name)
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
		if e.temporary && e.owner == pid {
			delete(t.slots, name)
			e.release()
		}
	}
}
