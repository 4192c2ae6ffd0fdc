package tail

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestLookAfterWALWasSetAside: WAL was given up, and proxies were restarted: they have set it aside, and are empty or have
// what was written instead. Then the operator changes his mind, and fences. What the answer says to do leads to a proof.
func TestLookAfterWALWasSetAside(t *testing.T) {
	const rule = "ANY 1 (s1, s2)"
	given := loss.Loss{ID: 1, Timeline: 3, From: 80, To: 100}
	empty := func(m *Member) {
		m.Status = MemberStatus{Node: m.Status.Node, Fenced: 3, Promised: 80, PromisedOn: 3, GivenUp: loss.Set{given}}
	}
	instead := func(m *Member) {
		of := given
		of.Instead = true
		m.Status.GivenUp, m.Status.Promised = loss.Set{of}, 80
	}
	other := func(m *Member) { instead(m); m.Other = 85 }
	lacks := func(m *Member) { instead(m); m.Had = 100 }
	ends := func(all ...string) map[string]lsn.LSN {
		m := map[string]lsn.LSN{"s1": 100}
		for _, name := range all {
			m[name] = 100
		}
		return m
	}
	a, b := fenced("a", rule, 90), fenced("b", rule, 100)
	for _, c := range []struct {
		name    string
		members []Member
		says    []string // before the ends of proxies are said
		proxies []string // whose ends it asks for
	}{
		{"both", []Member{with(a, empty), with(b, empty)}, []string{"a: its store is empty, and WAL up to 0/64 was given up there"},
			[]string{"a", "b"}},
		{"one", []Member{b, with(a, empty)}, []string{"a: its store is empty, and WAL up to 0/64 was given up there"}, []string{"a"}},
		{"one has other WAL", []Member{b, with(a, other)}, []string{"a: it has other WAL than b below 0/55"}, []string{"a"}},
		{"one has too little of the other", []Member{b, with(a, lacks)}, []string{"its store lacks WAL that it had"}, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _ := Look(c.members, Ask{Candidate: "s1", Ends: ends()}).Of("s1")
			for _, p := range c.proxies {
				c.says = append(c.says, "say --end "+p+"=0/64")
			}
			for _, want := range c.says {
				if v.State != NotProven || !strings.Contains(v.String(), want) {
					t.Errorf("%s\nwant %s", v, want)
				}
			}
			if strings.Contains(v.String(), "the end that the fence prints") {
				t.Errorf("the fence prints the end of other WAL: %s", v)
			}
			v, _ = Look(c.members, Ask{Candidate: "s1", Ends: ends(c.proxies...)}).Of("s1")
			if v.State != Proven {
				t.Errorf("with the ends that it asks for: %s", v)
			}
			short := ends(c.proxies...)
			short["s1"] = 79 // less than the primary that lost WAL has
			if v, _ = Look(c.members, Ask{Candidate: "s1", Ends: short}).Of("s1"); v.State == Proven {
				t.Errorf("less than the common WAL: %s", v)
			}
		})
	}
	// Where the timeline begins nobody knows, and no loss tells: then there is another way.
	v, _ := Look([]Member{with(a, func(m *Member) { empty(m); m.Status.GivenUp = nil })}, Ask{Timeline: 3, Ends: ends("a"),
		Candidate: "s1"}).Of("s1")
	if v.State != NotProven || !strings.Contains(v.String(), "docs/failover.md, A manager without a hook") {
		t.Errorf("%s", v)
	}
	// A loss of long ago says nothing about the end of a proxy that has gone on since.
	gone := func(m *Member) { instead(m); away(m) }
	v, _ = Look([]Member{with(fenced("b", rule, 900, at("s1", 900)), instead), with(fenced("a", rule, 900), gone)},
		Ask{Candidate: "s1"}).Of("s1")
	if v.State != NotProven || strings.Contains(v.String(), "--end a=0/64") {
		t.Errorf("%s", v)
	}
	// A loss of long ago says nothing about the end of a proxy that has gone on since, and was emptied then.
	for _, promised := range []lsn.LSN{80, 900} {
		emptied := func(rule string) Member {
			return with(fenced("a", rule, 0), func(m *Member) { empty(m); m.Status.Promised = promised })
		}
		all := []Member{emptied(""), with(emptied(""), func(m *Member) { m.Status.Promised, m.Status.PromisedOn = 0, 0 })}
		if promised > 100 {
			all = append(all, emptied(rule))
		}
		for _, m := range all {
			v, _ = Look([]Member{with(m, func(m *Member) { m.Status.GivenUp[0].Instead = true })}, Ask{Candidate: "s1", Ends: ends()}).Of("s1")
			if s := v.String(); v.State != NotProven || strings.Contains(s, "=0/64") || strings.Contains(s, "the fence prints") ||
				!strings.Contains(s, "say where its reports end, --end a=LSN (docs/failover.md, A proxy is gone for good)") {
				t.Errorf("promised %s: %s", promised, v)
			}
		}
	}
}
