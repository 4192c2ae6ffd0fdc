package newstore

import (
	"slices"
	"strings"
	"testing"
)

// TestBegin: what is asked follows from what there is, what can be asked, and what the operator says.
func TestBegin(t *testing.T) {
	for name, c := range map[string]struct {
		remembers, store     bool
		slot, others, insist bool
		want                 Questions
		advice               Advice
	}{
		"an empty directory":                 {slot: true, others: true, want: Questions{Slot, Members, Losses}},
		"alone":                              {slot: true, want: Questions{Slot}},
		"alone, without a slot":              {},
		"without a slot":                     {others: true, want: Questions{Members, Losses}},
		"WAL of a release that asked nobody": {store: true, slot: true, others: true, want: Questions{Members, Losses}},
		"it remembers":                       {remembers: true, slot: true, others: true},
		"the operator insists": {slot: true, others: true, insist: true, want: Questions{Members, Losses},
			advice: Begun},
		"he insists where nothing is asked": {remembers: true, slot: true, insist: true, advice: Useless},
		"he insists, and there is WAL":      {store: true, slot: true, others: true, insist: true, want: Questions{Members, Losses}},
		"he insists, and there is no slot":  {others: true, insist: true, want: Questions{Members, Losses}},
	} {
		all := Of(c.remembers, c.store)
		got, advice := all.Begin(c.slot, c.others, c.insist)
		if !slices.Equal(got, c.want) || advice != c.advice {
			t.Errorf("%s: %q, advice %d", name, got, advice)
		}
		if again := Parse(got.String()); !slices.Equal(again, got) {
			t.Errorf("%s: written %q, read %q", name, got, again)
		}
	}
}

// TestMayUse: only a slot that is there speaks against a store that has not asked for it.
func TestMayUse(t *testing.T) {
	asked := 0
	holder := func() int32 { asked++; return 4711 }
	for name, c := range map[string]struct {
		q      Questions
		exists bool
		may    bool
	}{
		"a slot of an earlier store": {Questions{Slot, Members}, true, false},
		"no slot there":              {Questions{Slot, Members}, false, true},
		"it was asked for":           {Questions{Slot, Members}.Answered(Slot), true, true},
		"nothing is open":            {nil, true, true},
	} {
		err := c.q.MayUse(c.exists, "/data", "replproxy_a", holder)
		if (err == nil) != c.may {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), `/data is new, and the primary has the slot "replproxy_a"`) ||
			err != nil && !strings.Contains(err.Error(), "(it is active there for PID 4711)?") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked != 1 {
		t.Errorf("the primary was asked %d times who has the slot", asked)
	}
	if err := (Questions{Slot}).MayUse(true, "/data", "s", func() int32 { return 0 }); strings.Contains(err.Error(), "active") {
		t.Errorf("nobody has it: %v", err)
	}
}

// TestKeyless: a member that is listed by its key and has none does not start.
func TestKeyless(t *testing.T) {
	for _, c := range []struct{ listed, key, may bool }{{true, false, false}, {true, true, true}, {false, false, true}, {false, true, true}} {
		if err := Keyless(c.listed, c.key, "/data", "a"); (err == nil) != c.may {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
