package loss

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestKeptAfterAll: WAL that was given up is lost no more once a timeline is followed that has it, unless anybody may have
// got what was written instead.
func TestKeptAfterAll(t *testing.T) {
	const aside = 7
	usual := Loss{ID: aside, Timeline: 2, From: 100, To: 200, Own: true, Beyond: []string{"s1"}}
	for name, c := range map[string]struct {
		change  func(l *Loss, at *Store, left *lsn.TimelineID)
		instead bool
		kept    bool
	}{
		"it was accepted here, and not set aside yet": {func(*Loss, *Store, *lsn.TimelineID) {}, false, true},
		"it was accepted elsewhere":                   {func(l *Loss, at *Store, _ *lsn.TimelineID) { l.Own, at.Aside = false, 0 }, false, true},
		"this store has what was written instead":     {func(_ *Loss, at *Store, _ *lsn.TimelineID) { at.Aside = 0 }, false, false},
		"a member has":                 {func(*Loss, *Store, *lsn.TimelineID) {}, true, false},
		"a standby was made anew":      {func(l *Loss, _ *Store, _ *lsn.TimelineID) { l.Anew = []string{"s1"} }, false, false},
		"a standby has passed":         {func(l *Loss, _ *Store, _ *lsn.TimelineID) { l.Passed = []string{"s1\t\t"} }, false, false},
		"a standby was served":         {func(l *Loss, _ *Store, _ *lsn.TimelineID) { l.Upto = map[string]lsn.LSN{"s1\t\t": 150} }, false, false},
		"the store has none of it":     {func(_ *Loss, at *Store, _ *lsn.TimelineID) { at.Received = 100 }, false, false},
		"the new timeline left before": {func(_ *Loss, at *Store, _ *lsn.TimelineID) { at.Concerns = func(Loss) bool { return false } }, false, false},
		"another timeline is left":     {func(_ *Loss, _ *Store, left *lsn.TimelineID) { *left = 3 }, false, false},
	} {
		l, left := usual, lsn.TimelineID(2)
		at := Store{Received: 150, Aside: aside, Concerns: func(Loss) bool { return true }}
		c.change(&l, &at, &left)
		was := Set{{ID: 1, Timeline: 1, From: 1, To: 2, Own: true}, l}
		now, kept := was.KeptBy(at, left, func(Loss) bool { return c.instead })
		if (len(kept) == 1 && kept[0] == aside) != c.kept || now[1].Void != c.kept || now[0].Void || was[1].Void {
			t.Errorf("%s: kept %v, %+v", name, kept, now)
		}
		if c.kept && now[1].Own {
			t.Errorf("%s: it still counts as told", name)
		}
	}
}

// TestVoidIsTold: a member hears that a loss is void, and a next loss at the same positions is a new one.
func TestVoidIsTold(t *testing.T) {
	given := Set{{ID: 7, System: 1, Timeline: 2, Num: 1, From: 100, To: 200}}
	void := Set{{ID: 7, System: 1, Timeline: 2, Num: 1, From: 100, To: 200, Void: true}}
	s, news := given.Hear("a", void)
	if !news || len(s) != 1 || !s[0].Void {
		t.Fatalf("%t, %+v", news, s)
	}
	if s, news = s.Hear("b", given); news || !s[0].Void {
		t.Errorf("who has not heard takes it back: %t, %+v", news, s)
	}
	again, id := s.GiveUp(Loss{ID: 8, System: 1, Timeline: 2, From: 100, To: 200}, nil)
	if len(again) != 2 || id != 8 || again[1].Void || again[1].Num != 2 {
		t.Errorf("%+v", again)
	}
}

// TestVoidIsNotSpread: a member says that it has what was written instead, and then is gone. Two that follow a timeline with
// the lost WAL do not take it up from each other for good.
func TestVoidIsNotSpread(t *testing.T) {
	at := Store{Received: 300, Timeline: 3, Concerns: kept, Brings: kept}
	s := Set{{ID: 7, System: 1, Timeline: 2, From: 100, To: 200, Void: true}}
	if l := s.Streams(at)[0]; l.Own {
		t.Errorf("WAL of timeline 3 is taken for what was written instead: %+v", l)
	}
	if at.Timeline = 2; !s.Streams(at)[0].Own {
		t.Error("on timeline 2 it may be")
	}
}
