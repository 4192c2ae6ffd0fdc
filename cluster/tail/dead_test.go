package tail

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// quiet is a member that counts as reached, and was not heard for nine seconds.
func quiet(m *Member) { m.Silent = 9 }

// from is a standby's session that began, and was heard of last, so many seconds after some moment.
func from(s Standby, began, replied int) Standby {
	begin := time.Unix(1e9, 0)
	s.Attached, s.Replied = begin.Add(time.Duration(began)*time.Second), begin.Add(time.Duration(replied)*time.Second)
	return s
}

// TestSameNameLivesTwice: two sessions of a name are two standbys where one was heard of since the other began. Else a
// standby may have moved, and nothing is proven before that is known.
func TestSameNameLivesTwice(t *testing.T) {
	const two, moved = "2 standbys have this name", "it has come from "
	for name, c := range map[string]struct {
		b    Member
		want string
	}{
		"both live":               {fenced("b", "ANY 1 (s1)", 100, from(at("s1", 90), 0, 21)), two},
		"it has moved":            {fenced("b", "ANY 1 (s1)", 100, from(at("s1", 90), 0, 19)), moved + "b to a, and b does not say yet that its session there has ended: ask again in some seconds"},
		"from a dead proxy":       {with(fenced("b", "ANY 1 (s1)", 100, from(at("s1", 90), 0, 19)), quiet), moved + "b to a, and b is not heard for 9s: ask again in some seconds"},
		"it went, and came again": {fenced("b", "ANY 1 (s1)", 100, from(at("s1", 90), 23, 24)), moved + "a to b, and a does not say yet"},
		"it is not known":         {fenced("b", "ANY 1 (s1)", 100, at("s1", 90)), two},
	} {
		v, _ := Look([]Member{fenced("a", "ANY 1 (s1)", 100, from(at("s1", 100), 20, 22)), c.b}, Ask{Candidate: "s1"}).Of("s1")
		if got := v.String(); v.State != NotProven || !strings.Contains(got, c.want) || strings.Contains(got, two) != (c.want == two) ||
			!strings.Contains(got, "--end s1=LSN") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestDeadMemberIsNamed: where a member that is gone keeps a candidate from being proven, the verdict names it, and the
// word by which the operator goes on without it.
func TestDeadMemberIsNamed(t *testing.T) {
	const rule = "ANY 2 (s1, s2, s3)"
	for name, c := range map[string]struct {
		b    Member
		want string // "": nothing of --end
	}{
		"it was heard just now": {with(fenced("b", rule, 90), open), ""},
		"it died just now":      {with(with(fenced("b", rule, 90), open), quiet), "run replproxy fence --timeline 3 there; it is not heard for 9s: if it is gone for good say where its reports end, --end b=LSN (docs/failover.md, A proxy is gone for good)"},
		"it is away":            {with(fenced("b", rule, 90), away), "say --end b=LSN with the end that the fence prints, or where its reports end if it is gone for good (docs/failover.md, A proxy is gone for good); or"},
		"it said nothing":       {with(fenced("b", rule, 90), unheard), "say --end b=LSN with the end that the fence prints, or where its reports end if it is gone for good"},
		"it alone has it":       {with(fenced("b", rule, 100), func(m *Member) { m.Reached = false }), "b has it, and is not reached: if it is gone for good say where its reports end, --end b=LSN"},
		"what it has was acknowledged": {with(fenced("b", rule, 100), func(m *Member) { m.Reached, m.Status.Promised = false, 100 }),
			"b has it, and is not reached; that was acknowledged"},
	} {
		a := fenced("a", rule, 90, at("s1", 90))
		v, _ := Look([]Member{a, c.b}, Ask{Candidate: "s1"}).Of("s1")
		if got := v.String(); v.State != NotProven || !strings.Contains(got, c.want) || strings.Contains(got, "--end") != strings.Contains(c.want, "--end") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	v, _ := Look([]Member{fenced("a", rule, 90, at("s1", 90)), with(fenced("b", rule, 100), away)},
		Ask{Candidate: "s1", Ends: map[string]lsn.LSN{"b": 90}}).Of("s1")
	if v.State != Proven {
		t.Errorf("by the operator's word: %s", v)
	}
}

// TestEmptyWhenItWasHeard: a proxy that died soon after its start said that its store was empty. That is not what it has.
func TestEmptyWhenItWasHeard(t *testing.T) {
	none := func(m *Member) { m.Status.Timeline = 0 }
	for name, c := range map[string]struct {
		b    Member
		want string
	}{
		"it lives":          {with(fenced("b", "", 0), none), "its store is empty"},
		"it froze":          {with(with(fenced("b", "", 0), none), quiet), "its store was empty when it was heard last, 9s ago, and may have got WAL since"},
		"it is not reached": {with(with(with(fenced("b", "", 0), none), quiet), func(m *Member) { m.Reached = false }), "was empty when it was heard last"},
	} {
		all := Look([]Member{fenced("a", "", 90), c.b}, Ask{}).Proxies
		if got := all[len(all)-1]; got.Final || !strings.Contains(got.Why, c.want) {
			t.Errorf("%s: %q, want %q", name, got.Why, c.want)
		}
	}
}
