package cluster

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// A member that follows another server of the same timeline number acknowledges other WAL. Its standby counts only
// while both are known to have the same history.
func TestMemberOfAnotherHistory(t *testing.T) {
	hashOf := func(text string) uint64 {
		h, err := lsn.ParseHistory(2, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return HistoryHash(h)
	}
	right, stale := hashOf("1\t0/64\tpromoted\n"), hashOf("1\t0/50\tby mistake\n")
	n := memberNode(t, "ANY 1 (s2)")
	store := n.o.Store.(*fakeStore)
	on := func(history uint64) {
		store.move(2, 100)
		store.mu.Lock()
		store.p.HistoryHash = history
		store.mu.Unlock()
	}
	on(right)
	r := reportOf("b", 9)
	r.Timeline = 2
	seq := uint64(0)
	say := func(history uint64) {
		t.Helper()
		seq++
		s := stateOf("b", "ANY 1 (s2)", seq, 9)
		s.HistoryHash = history
		hears(t, n, "b", s, r)
	}
	say(0)
	wantLimits(t, n, 0, 0, 0)
	say(stale)
	wantLimits(t, n, 0, 0, 0)
	if v := n.Status().Voters[1]; v.Standing != ledger.OtherHistory {
		t.Errorf("%+v", v)
	}
	say(right)
	wantLimits(t, n, 90, 90, 90)
	on(stale)
	wantLimits(t, n, 0, 0, 0)
	on(right)
	wantLimits(t, n, 90, 90, 90)
	if s := n.ledger.State(); s.HistoryHash != right {
		t.Errorf("the others are told %x", s.HistoryHash)
	}
}

// The hash is of the whole way, and of no use as proof when it is not known.
func TestHistoryHash(t *testing.T) {
	seen := map[uint64]bool{0: true}
	for _, h := range []lsn.History{
		{}, {Timeline: 1}, {Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 100}}},
		{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 101}}},
		{Timeline: 3, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 100}}},
		{Timeline: 3, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 100}, {Timeline: 2, Switch: 200}}},
	} {
		if seen[HistoryHash(h)] {
			t.Errorf("%+v", h)
		}
		seen[HistoryHash(h)] = true
	}
}

// The data_dir of a member was restored on a machine whose clock was set back, so its boots are lower than those known
// here. It has no votes, and being heard does not keep its earlier sessions alive.
func TestOlderBoot(t *testing.T) {
	n := memberNode(t, "ANY 1 (s2)")
	s := stateOf("b", "ANY 1 (s2)", 1, 9)
	wantLimits(t, n, 0, 0, 0)
	n.Peers().Up("b", 1) // it comes again
	wantLimits(t, n, 0, 0, 0)
	s = stateOf("b", "ANY 1 (s2)", 1, 9)
	s.Boot = 7
	hears(t, n, "b", s, reportOf("b", 9))
	wantLimits(t, n, 90, 90, 90)
	s.Boot, s.Sessions = 6, nil
	if err := deliver(t, n, "b", s); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("%v", err)
	}
	s.Boot = 7
	hears(t, n, "b", s) // the running one
	wantLimits(t, n, 90, 90, 90)
}

// TestBeginningIsSaid: a member is told of a timeline when the fingerprint of its first WAL is known, or
// cannot be known yet, and not between.
func TestBeginningIsSaid(t *testing.T) {
	second := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 1000}}}
	const system, size = 7, 100
	for name, c := range map[string]struct {
		h        lsn.History
		hash     int // -1: not read
		received lsn.LSN
		said     bool
		firstWAL vote.Fingerprint
	}{
		"begun and not there yet":   {second, -1, 1099, true, vote.Fingerprint{}},
		"there and not read":        {second, -1, 1100, false, vote.Fingerprint{}},
		"read":                      {second, 5, 1100, true, vote.Fingerprint{Hash: 5}},
		"read, and cannot be known": {second, 0, 2000, true, vote.Fingerprint{Never: true}},
		"the first timeline":        {lsn.History{Timeline: 1}, -1, 5000, true, vote.Fingerprint{Never: true}},
	} {
		b := Begin(system, c.h.Timeline, c.h, size)
		if c.hash >= 0 {
			b = b.WithFirstWAL(uint64(c.hash))
		}
		history, firstWAL := b.Said(c.received)
		if (history == HistoryHash(c.h)) != c.said || firstWAL != c.firstWAL || b.Due(c.received) == c.said {
			t.Errorf("%s: history %x, first WAL %+v, due %t", name, history, firstWAL, b.Due(c.received))
		}
	}
	b := Begin(system, second.Timeline, second, size)
	if !b.Of(system, 2) || b.Of(8, 2) || b.Of(system, 1) || (*Beginning)(nil).Of(system, 2) {
		t.Error("it is another timeline's")
	}
	for t2, h := range map[lsn.TimelineID]lsn.History{1: second, 3: second, 0: {}} {
		b := Begin(system, t2, h, size)
		if history, firstWAL := b.Said(5000); b != nil || b.Due(5000) || history != 0 || firstWAL != (vote.Fingerprint{}) {
			t.Errorf("timeline %s with the history of %s begins: %+v", t2, h.Timeline, b)
		}
	}
}
