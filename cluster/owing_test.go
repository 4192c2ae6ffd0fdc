package cluster

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestStandbyAheadOfAnOwingStore: while the store owes WAL for having been reported a standby says first what it has. One
// that has more waits, and what it has applied counts against a primary, until it is here.
func TestStandbyAheadOfAnOwingStore(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "ANY 1 (s1)", store)
	who := loss.Who{Name: "s1"}
	owe := func(bound lsn.LSN) {
		store.mu.Lock()
		defer store.mu.Unlock()
		store.p.Owed, store.p.Bound = bound, bound
	}
	judged := func(tli lsn.TimelineID, said lsn.Progress) bool {
		_, err := n.Judge(who, tli, said)
		if err != nil && !pgerror.HasCode(err, pgerror.CannotConnectNow) {
			t.Error(err)
		}
		return err == nil
	}
	if n.AsksFirst(who) || !judged(1, all(150)) {
		t.Error("nothing is owed, and it is asked or refused")
	}
	owe(200)
	if !n.AsksFirst(who) || !judged(1, all(100)) || !judged(2, all(150)) {
		t.Error("it has no more than the store, or is of another timeline, and is refused")
	}
	if known, _ := n.Known(); len(known) != 0 {
		t.Errorf("nothing was shown: %+v", known)
	}
	if judged(1, lsn.Progress{Write: 180, Flush: 160, Apply: 140}) || judged(1, all(130)) {
		t.Error("it has more, and is served")
	}
	want := []knownwal.Known{
		{Point: lsn.Point{System: 7, Timeline: 1, LSN: 140}, Acked: true, Complete: true, Shown: true},
		{Point: lsn.Point{System: 7, Timeline: 1, LSN: 160}, Acked: true},
	}
	if known, _ := n.Known(); !slices.Equal(known, want) {
		t.Errorf("%+v, want %+v", known, want)
	}
	owe(0)
	store.move(1, 150)
	if known, _ := n.Known(); !slices.Equal(known, want[1:]) || n.AsksFirst(who) {
		t.Errorf("%+v", known)
	}
	store.move(1, 160)
	if known, _ := n.Known(); len(known) != 0 {
		t.Errorf("all of it is here: %+v", known)
	}
}

// TestUnshown: nothing beyond a restart of the primary can have been reported once voters have come without whom the
// rule covers nothing, and none of them had it. A standby that says nothing has not come.
func TestUnshown(t *testing.T) {
	at := knownwal.Restart{Point: lsn.Point{System: 7, Timeline: 1, LSN: 150}, Clean: 158}
	for name, c := range map[string]struct {
		rule string
		came map[string]lsn.LSN
		want bool
	}{
		"nobody came":              {"ANY 1 (s1)", nil, false},
		"the only one":             {"ANY 1 (s1)", map[string]lsn.LSN{"S1": 150}, true},
		"with the checkpoint":      {"ANY 1 (s1)", map[string]lsn.LSN{"s1": 158}, true},
		"with more":                {"ANY 1 (s1)", map[string]lsn.LSN{"s1": 159}, false},
		"it says nothing":          {"ANY 1 (s1)", map[string]lsn.LSN{"s1": 0}, false},
		"one of two that each may": {"ANY 1 (s1, s2)", map[string]lsn.LSN{"s1": 100}, false},
		"one of two that both had": {"ANY 2 (s1, s2)", map[string]lsn.LSN{"s1": 100}, true},
		"FIRST, the second":        {"FIRST 1 (s1, s2)", map[string]lsn.LSN{"s2": 100}, false},
		"whoever":                  {"ANY 1 (*)", map[string]lsn.LSN{"s1": 100, "s2": 100}, false},
		"the own store":            {"ANY 2 (proxy, s1, s2)", map[string]lsn.LSN{"s1": 100}, true},
		"another's store":          {"ANY 1 (s1, b)", map[string]lsn.LSN{"s1": 100}, false},
	} {
		store := newFakeStore(100)
		n := newNode(t, c.rule, store)
		store.mu.Lock()
		store.p.Owed, store.p.Bound = 200, 200
		store.mu.Unlock()
		for s, has := range c.came {
			_, _ = n.Judge(loss.Who{Name: s}, 1, all(has))
		}
		if got := n.Unshown(at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOwingMemberMayHaveReported: what a member owes it may have reported. No record need end there.
func TestOwingMemberMayHaveReported(t *testing.T) {
	heard := heardStatus{MemberStatus: tail.MemberStatus{
		Node: "b", System: 7, Timeline: 1, Flushed: 100, Received: 100, Owed: 160,
	}}
	want := knownwal.Known{Point: lsn.Point{System: 7, Timeline: 1, LSN: 160}, By: "b", Acked: true}
	if says := heard.says(); !slices.Contains(says, want) {
		t.Errorf("%+v", says)
	}
	heard.Owed = 100
	if says := heard.says(); slices.ContainsFunc(says, func(k knownwal.Known) bool { return k.Acked }) {
		t.Errorf("it has what it owed: %+v", says)
	}
}

// TestGivenUpWALIsNoEvidence: a standby that has WAL which was given up says nothing against the primary, that rightly lacks
// it.
func TestGivenUpWALIsNoEvidence(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "ANY 1 (s1)", store)
	s1 := n.Attach("s1")
	report(n, s1, 1, 150)
	if err := n.GiveUp(7, 1, 110, 150, nil, false); err != nil {
		t.Fatal(err)
	}
	store.move(1, 120)
	store.mu.Lock()
	store.p.Owed, store.p.Bound = 200, 200
	store.mu.Unlock()
	if _, err := n.Judge(loss.Who{Name: "s1"}, 1, all(150)); err == nil {
		t.Error("it is fed")
	}
	if known, _ := n.Known(); len(known) != 0 {
		t.Errorf("%+v", known)
	}
}
