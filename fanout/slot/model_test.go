package slot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// model remembers the table's promises: per name the restart_lsns that a restart may bring back.
type model struct {
	slots  map[string]*modelSlot
	maybe  map[string]bool // a create or drop failed: both outcomes are right after a crash
	oldest lsn.LSN
}

type modelSlot struct {
	now      lsn.LSN
	possible map[lsn.LSN]bool // since the last successful Persist, that one included
}

// TestModelWithCrashes runs random histories with disk errors and power losses. After each: names are
// those that were acknowledged, positions are ones that were confirmed, and retention had kept WAL
// from at or below whatever came back.
func TestModelWithCrashes(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	disk := newMemFS(seed)
	m := &model{slots: map[string]*modelSlot{}, maybe: map[string]bool{}}
	for range 4 { // boots
		table, err := Open("slots", Options{FS: disk, Max: 4})
		if err != nil {
			t.Fatal(err)
		}
		m.compare(t, table)
		if rnd.IntN(3) > 0 {
			disk.steps = rnd.IntN(60)
		}
		disk.failing = rnd.IntN(3) == 0
		for range 40 {
			m.step(t, table, rnd)
			if o := table.Oldest(); !disk.crashed {
				m.oldest = o
			}
			m.checkOldest(t, table)
		}
		disk.reboot()
	}
}

func (m *model) step(t *testing.T, table *Table, rnd *rand.Rand) {
	name := string(rune('a' + rnd.IntN(5)))
	at := lsn.LSN(1 + rnd.IntN(1000))
	s := m.slots[name]
	switch rnd.IntN(4) {
	case 0:
		err := create(table, name, false, at, 1)
		if err == nil {
			m.slots[name] = &modelSlot{at, map[lsn.LSN]bool{at: true}}
			delete(m.maybe, name)
		} else if s == nil && isIO(err) {
			m.maybe[name] = true
		}
	case 1:
		err := drop(table, name, 1)
		if err == nil {
			delete(m.slots, name)
			delete(m.maybe, name)
		} else if s != nil {
			m.maybe[name] = true
		}
	case 2:
		if g, err := acquire(table, name, 1); err == nil {
			g.Confirm(at)
			s.now, s.possible[at] = at, true
			g.Release()
		}
	case 3:
		if table.Persist() == nil {
			for name, s := range m.slots {
				s.possible = map[lsn.LSN]bool{s.now: true}
				delete(m.maybe, name)
			}
		}
	}
	if _, ok := table.Read(name); ok != (m.slots[name] != nil) {
		t.Fatalf("slot %s exists: %v", name, ok)
	}
}

// isIO: a refusal is a *pgerror.Error and changes nothing; a disk error leaves the outcome open.
func isIO(err error) bool {
	var e *pgerror.Error
	return !errors.As(err, &e)
}

// checkOldest: retention is at or below every position that memory shows.
func (m *model) checkOldest(t *testing.T, table *Table) {
	for name, s := range m.slots {
		if o := table.Oldest(); o == lsn.Invalid || o > s.now {
			t.Fatalf("oldest %s is above %s of slot %s", o, s.now, name)
		}
	}
}

// compare holds a table after a restart against what was promised, and goes on from there.
func (m *model) compare(t *testing.T, table *Table) {
	found := map[string]bool{}
	for _, i := range table.List() {
		found[i.Name] = true
		s := m.slots[i.Name]
		if s == nil && !m.maybe[i.Name] {
			t.Fatalf("slot %s came back from the dead", i.Name)
		}
		if s != nil && !s.possible[i.Restart] {
			t.Fatalf("slot %s came back at %s, which it never had since %v", i.Name, i.Restart, s.possible)
		}
		if s != nil && i.Restart < m.oldest {
			t.Fatalf("slot %s came back at %s, WAL was kept from %s only", i.Name, i.Restart, m.oldest)
		}
		m.slots[i.Name] = &modelSlot{i.Restart, map[lsn.LSN]bool{i.Restart: true}}
	}
	for name := range m.slots {
		if !found[name] && !m.maybe[name] {
			t.Fatalf("slot %s is lost", name)
		}
		if !found[name] {
			delete(m.slots, name)
		}
	}
	m.maybe = map[string]bool{}
}
