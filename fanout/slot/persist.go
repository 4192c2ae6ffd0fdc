package slot

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/nudge"
)

// tempSuffix marks a file that is being written. No slot name holds a dot.
const tempSuffix = ".tmp"

// ioError returns a disk error with what was being done to which slot.
func ioError(verb, name string, err error) error {
	return fmt.Errorf("%s replication slot %q: %w", verb, name, err)
}

// Open reads the slots of dir, making the directory when it is missing. Files that were being written are removed.
// Files that cannot be slots are left alone. A slot file that is damaged, or that has another name inside than its own,
// is an error that names it (invariant 6). Open starts nothing.
func Open(dir string, o Options) (*Table, error) {
	t := &Table{
		fs: o.FS, max: o.Max, node: o.Node, changed: nudge.New(),
		slots: map[string]*entry{}, tombstones: map[string]*entry{}, pending: map[string]pending{},
		confirmed: noneToKnow,
	}
	if t.fs == nil {
		t.fs = osDir(dir)
	}
	if t.max <= 0 {
		t.max = DefaultMax
	}
	names, err := t.fs.List()
	if err != nil {
		return nil, fmt.Errorf("open slots in %s: %w", dir, err)
	}
	for _, name := range names {
		if err := t.load(name); err != nil {
			return nil, fmt.Errorf("open slots: file %s/%s: %w", dir, name, err)
		}
	}
	return t, nil
}

func (t *Table) load(name string) error {
	if base, found := strings.CutSuffix(name, tempSuffix); found && grammar.ValidateSlotName(base) == nil {
		return t.fs.Remove(name)
	}
	if grammar.ValidateSlotName(name) != nil {
		return nil
	}
	b, err := t.fs.Read(name, sharedSize)
	if err != nil {
		return err
	}
	r, err := decode(b)
	if err != nil {
		return err
	}
	if r.name != name {
		return damaged("it holds slot %q", r.name)
	}
	e := &entry{record: r, saved: r.holds(), since: time.Now()}
	if r.dropped {
		t.tombstones[name] = e
		return nil
	}
	if !r.shared() { // it begins here, in a cluster or alone
		e.generation, e.owner, e.stamp = 1, t.node, 1
		e.dirty = e.shared()
	}
	t.slots[name] = e
	return nil
}

// write makes the file of r durable up to its name, which SyncDir completes. A dropped slot that nobody shares has no
// file. The caller holds io. Where there is no room for one more file, the file that is there is overwritten. A slot
// that can't be dropped or advanced would go on holding the WAL that fills the volume.
func (t *Table) write(r record) error {
	if r.dropped && !r.shared() {
		return t.fs.Remove(r.name)
	}
	b := r.encode()
	err := t.fs.WriteSync(r.name+tempSuffix, b)
	if err == nil {
		return t.fs.Rename(r.name+tempSuffix, r.name)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if t.fs.Overwrite(r.name, b) == nil {
			return nil
		}
	}
	return err
}

// unsaved is a slot that Persist writes: the entry and the state that goes to its file.
type unsaved struct {
	e *entry
	r record
}

// Persist writes the slots that changed since the last call, all under one sync of the directory. A slot that fails
// stays dirty and is tried again by the next call.
func (t *Table) Persist() error {
	t.io.Lock()
	defer t.io.Unlock()
	var errs []error
	var done []unsaved
	for _, p := range t.takeDirty() {
		if err := t.write(p.r); err != nil {
			errs = append(errs, ioError("save", p.r.name, err))
			continue
		}
		done = append(done, p)
	}
	for _, name := range t.takeExpired() {
		if err := t.fs.Remove(name); err != nil {
			errs = append(errs, ioError("forget", name, err))
		}
	}
	if len(done) > 0 {
		if err := t.fs.SyncDir(); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range done {
		p.e.saved, p.e.inFlight, p.e.dirty = p.r.holds(), lsn.Invalid, p.e.record != p.r
	}
	return errors.Join(errs...)
}

// takeDirty copies the slots to write and notes that their files are now uncertain. The caller holds
// io: a slot that is being dropped is left out, or its file would come back.
func (t *Table) takeDirty() (ps []unsaved) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.slots {
		if !e.dirty || e.temporary || e.dropping {
			continue
		}
		if h := e.holds(); h != lsn.Invalid && (e.inFlight == lsn.Invalid || h < e.inFlight) {
			e.inFlight = h
		}
		ps = append(ps, unsaved{e, e.record})
	}
	for _, e := range t.tombstones {
		if e.dirty {
			ps = append(ps, unsaved{e, e.record})
		}
	}
	return ps
}
