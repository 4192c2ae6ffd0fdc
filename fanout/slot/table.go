package slot

import (
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/nudge"
)

// DefaultMax bounds the slots of a table when Options.Max is 0. A slot costs a file and one fsync per Persist; far more
// standbys than this belong behind cascading proxies.
const DefaultMax = 1024

// Options of Open. The zero value is usable.
type Options struct {
	FS  FS  // nil: the directory dir of the operating system
	Max int // slots, temporary ones included; 0: DefaultMax
	// Node is this proxy's name in a cluster, whose members share their persistent slots; "": it is alone.
	Node string
}

// Table holds all slots of a proxy. Safe for concurrent use. Only Create, Adopt, Drop, SetReal, Invalidate and Persist
// wait for the disk. Make it with [Open].
type Table struct {
	fs      FS     // its calls are serialised by io
	max     int    // fixed
	node    string // fixed
	changed nudge.Chan

	io sync.Mutex // held around file operations, never inside mu

	mu         sync.Mutex
	slots      map[string]*entry
	tombstones map[string]*entry  // of dropped slots that a cluster shared; only a temporary slot has a name of one
	pending    map[string]pending // what other members are being asked for
	expired    []string           // files of tombstones that are forgotten
	// confirmed returns a function that reports whether all members know of a drop, see SetConfirmed.
	confirmed func() func(shared.State) bool
	life      uint64 // primaries that Switched has told of
	settled   uint64 // life at the last Settled
}

func errMissing(name string) error {
	return pgerror.New(pgerror.UndefinedObject, `replication slot "%s" does not exist`, name)
}

func errActive(name string, pid int32) *pgerror.Error {
	return pgerror.New(pgerror.ObjectInUse, `replication slot "%s" is active for PID %d`, name, pid)
}

// Read returns the state of a slot; false when there is none.
func (t *Table) Read(name string) (Info, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.slots[name]
	if e == nil {
		return Info{}, false
	}
	return t.info(e), true
}

// List returns the state of all slots, by name.
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

// Oldest returns the position from which the store must keep WAL for the slots (invariant 4); Invalid when no slot
// holds any.
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

// Rewind moves every restart_lsn beyond limit back to it, in memory at once and on disk with the next Persist. It
// returns those slots as they were, by name. WAL beyond limit has been replaced by other WAL, or is not there yet.
func (t *Table) Rewind(limit lsn.LSN) (was []Info) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.slots {
		if e.lost == NotLost && e.restart > limit {
			was = append(was, t.info(e))
			e.restart, e.dirty = limit, true
			t.note(e)
		}
	}
	slices.SortFunc(was, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return was
}
