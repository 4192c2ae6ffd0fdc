package tail

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// at is a standby on timeline 3 that has flushed so much.
func at(name string, flush lsn.LSN) Standby {
	return Standby{Name: name, Timeline: 3, Sent: flush, Write: flush, Flush: flush, Apply: flush}
}

// fenced is a proxy on timeline 3, which begins at 50, with an established rule.
func fenced(name, rule string, end lsn.LSN, standbys ...Standby) Member {
	return Member{
		Status: MemberStatus{
			Node: name, Fenced: 3, Timeline: 3, Begin: 50, Received: end, Written: end, Flushed: end, Standbys: standbys,
		},
		Said: true, Reached: true, Heard: true,
		Rule: vote.Rule{RuleText: vote.RuleText{Names: rule}, Generation: 1, Established: true},
	}
}

func with(m Member, f func(*Member)) Member { f(&m); return m }

func open(m *Member)    { m.Status.Fenced = 2 }
func away(m *Member)    { m.Reached, m.Status.Fenced = false, 2 }
func unheard(m *Member) { *m = Member{Status: MemberStatus{Node: m.Status.Node}} }

// begins is on timeline 1 so far: its store was emptied when it was on timeline 3.
func begins(m *Member) {
	m.Status.Timeline, m.Status.Begin, m.Status.Promised, m.Status.PromisedOn = 1, 0, 900, 3
}

func TestLook(t *testing.T) {
	const any2 = "ANY 2 (s1, s2, s3)"
	for _, c := range []struct {
		name    string
		members []Member
		ask     Ask
		want    string // the verdict on s1 as text, or what is in it
	}{
		{"has it", []Member{fenced("a", any2, 100, at("s1", 100))}, Ask{}, "proven: it has flushed 0/64"},
		{"no fence", []Member{with(fenced("a", "ANY 1 (s1)", 100, at("s1", 100)), open)}, Ask{},
			"NOT PROVEN: a is not fenced: run replproxy fence --timeline 3 there"},
		{"fenced too low", []Member{fenced("a", any2, 100, at("s1", 100))}, Ask{Timeline: 4}, "NOT PROVEN: "},
		{"is fed", []Member{fenced("a", any2, 100, at("s1", 90))}, Ask{},
			"proven after it has been fed from 0/5A to 0/64 by a, which it is attached to"},
		{"another has it", []Member{fenced("a", any2, 90, at("s1", 90)), fenced("b", any2, 100)}, Ask{},
			"to 0/64 by a, which it is attached to and which takes it from b"},
		{"written counts: remote_write may rest on it", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 100), func(m *Member) { m.Status.Written, m.Status.Received = 110, 120 })}, Ask{},
			"proven after it has been fed from 0/64 to 0/6E by a, which it is attached to and which takes it from b"},
		{"another has it, and it is nowhere", []Member{fenced("a", any2, 90), fenced("b", any2, 100)},
			Ask{Ends: map[string]lsn.LSN{"s1": 90}}, "to 0/64 from b: attach it to a proxy, or give it that store's files; as you said for s1"},
		{"that one is gone", []Member{fenced("a", any2, 90, at("s1", 90)),
			with(fenced("b", any2, 100), func(m *Member) { m.Reached = false })}, Ask{},
			"NOT PROVEN: nobody who is reached has WAL up to 0/64"},
		{"behind the beginning", []Member{with(fenced("a", any2, 0, at("s1", 40)), func(m *Member) {
			m.Status.Flushed, m.Status.Received = 50, 50
		})}, Ask{}, "proven after it has been fed from 0/28 to 0/32 by a"},
		{"still on the timeline before", []Member{fenced("a", any2, 100, Standby{Name: "s1", Timeline: 2, Flush: 100})},
			Ask{}, "proven after it has been fed from 0/0 to 0/64 by a"},
		{"b may go on", []Member{fenced("a", any2, 100, at("s1", 100), at("s2", 100)), with(fenced("b", any2, 90), away)}, Ask{},
			"b: not fenced, and it is not reached, and ANY 2 (s1, s2, s3) may have been satisfied by b, s2, s3, whose ends are not final"},
		{"s2 is held", []Member{fenced("a", any2, 100, at("s1", 100), at("s2", 100)), with(fenced("b", any2, 90), away)},
			Ask{Ends: map[string]lsn.LSN{"s2": 100}}, "proven: it has flushed 0/64, and nothing that was acknowledged lies beyond 0/64, as you said for s2"},
		{"s2 is held, and has more than anybody", []Member{fenced("a", any2, 100, at("s1", 100)), with(fenced("b", any2, 90), away)},
			Ask{Ends: map[string]lsn.LSN{"s2": 120}}, "NOT PROVEN: nobody who is reached has WAL up to 0/78"},
		{"b was fenced by hand", []Member{fenced("a", any2, 100, at("s1", 100)), with(fenced("b", any2, 90), away)},
			Ask{Ends: map[string]lsn.LSN{"b": 90}}, "beyond 0/64, as you said for b"},
		{"stores are the quorum", []Member{fenced("a", "ANY 2 (a, b, c)", 100, at("s1", 100)),
			fenced("b", "ANY 2 (a, b, c)", 80), with(fenced("c", "ANY 2 (a, b, c)", 90), away)}, Ask{}, "proven"},
		{"anybody may be behind *", []Member{fenced("a", "ANY 1 (*)", 100, at("s1", 100)), with(fenced("b", "ANY 1 (*)", 90), away)},
			Ask{}, "may have been satisfied by b, (any other standby)"},
		{"a rule not heard", []Member{fenced("a", any2, 100, at("s1", 100)), with(fenced("b", any2, 90), unheard)}, Ask{},
			"b: has said nothing since this proxy started, and it is not reached, and its rule is not known"},
		{"a rule not established", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(with(fenced("b", "ANY 2 (s1, s2)", 90), away), func(m *Member) {
				m.Rule.Established, m.Rule.Before = false, vote.RuleText{Names: "ANY 1 (s2)"}
			})}, Ask{}, "ANY 1 (s2) may have been satisfied by b, s2,"},
		{"the same, established", []Member{fenced("a", any2, 100, at("s1", 100)), with(fenced("b", "ANY 2 (s1, s2)", 90), away)},
			Ask{}, "proven"},
		{"no rule", []Member{fenced("a", any2, 100, at("s1", 100)), with(fenced("b", "", 90), away)}, Ask{},
			"without a rule its own store releases commits"},
		{"a store that owes WAL", []Member{with(fenced("a", any2, 100, at("s1", 100)), func(m *Member) { m.Status.Owed = 120 })}, Ask{},
			"a: its store owes WAL up to 0/78, and ANY 2 (s1, s2, s3) may have been satisfied by a, s2, s3"},
		{"two holders of a name", []Member{with(fenced("a", any2, 100, at("s1", 100)), func(m *Member) { m.Contested = true })},
			Ask{}, "a: two nodes hold its name"},
		{"two standbys of one name", []Member{fenced("a", any2, 100, at("s1", 100)), fenced("b", any2, 100, at("s1", 90))}, Ask{},
			"NOT PROVEN: 2 standbys have this name"},
		{"it has moved from a dead proxy", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", "ANY 1 (s1)", 90, at("s1", 90)), away)}, Ask{}, "proven"},
		{"not attached", []Member{fenced("a", any2, 100)}, Ask{Candidate: "s1"}, "NOT PROVEN: it is not attached"},
		{"its end is given", []Member{fenced("a", any2, 100)}, Ask{Candidate: "s1", Ends: map[string]lsn.LSN{"s1": 100}}, "proven"},
		{"a proxy is no candidate", []Member{fenced("s1", any2, 100)}, Ask{Candidate: "s1"}, "NOT PROVEN: it is a proxy's name"},
		{"an empty store", []Member{with(fenced("a", any2, 0), func(m *Member) { m.Status.Timeline = 0 })}, Ask{Candidate: "s1"},
			"NOT PROVEN: no proxy that is reached has WAL"},
		{"a timeline that was left before", []Member{fenced("a", "ANY 1 (s1)", 100, Standby{Name: "s1", Timeline: 2, Flush: 40})},
			Ask{Timeline: 2}, "NOT PROVEN: "},
		{"a timeline that one has left", []Member{fenced("a", "ANY 1 (s1)", 100, at("s1", 100)),
			with(fenced("b", "ANY 1 (s1)", 60), func(m *Member) { m.Status.Timeline, m.Status.Fenced = 4, 4 })},
			Ask{Timeline: 3}, "b is on timeline 4 already"},
		{"another system", []Member{fenced("a", "ANY 1 (s2)", 100, at("s1", 100)),
			with(fenced("b", "ANY 1 (s2)", 100), func(m *Member) { m.Status.System = 8 })},
			Ask{}, "b: it has WAL of another system, and ANY 1 (s2) may have been satisfied by b, s2"},
		{"a store that lacks what it reported", []Member{fenced("b", any2, 90, at("s1", 90)),
			with(fenced("a", "ANY 2 (a, s1, s2)", 80), func(m *Member) { m.Status.Promised = 100 })}, Ask{},
			"a: its store lacks WAL that it had: up to 0/64, and ANY 2 (a, s1, s2) may have been satisfied by a, s2"},
		{"a store that was emptied amid reports", []Member{fenced("b", any2, 90, at("s1", 90)),
			with(fenced("a", "ANY 2 (a, s1, s2)", 80), func(m *Member) { m.Status.Promised = allStored })}, Ask{},
			"a: its store was emptied amid reports: nobody knows how far they went, and"},
		{"a store that lacks what it had", []Member{fenced("b", any2, 90, at("s1", 90)),
			with(fenced("a", "ANY 2 (a, s1, s2)", 80), func(m *Member) { m.Had = 100 })}, Ask{},
			"a: its store lacks WAL that it had: up to 0/64, and"},
		{"it was reported by one that is away", []Member{fenced("a", any2, 90, at("s1", 90), at("s2", 90)),
			with(fenced("b", "ANY 2 (s1, s2)", 90), func(m *Member) { away(m); m.Status.Promised = 100 })},
			Ask{Ends: map[string]lsn.LSN{"s2": 90}}, "NOT PROVEN: nobody who is reached has WAL up to 0/64"},
		{"a rule was seen to cover it", []Member{with(fenced("a", any2, 90, at("s1", 90)), func(m *Member) { m.Status.Covered = 100 }),
			fenced("b", any2, 90)}, Ask{}, "NOT PROVEN: nobody who is reached has WAL up to 0/64"},
		{"and the candidate has it", []Member{with(fenced("a", any2, 90, at("s1", 100)), func(m *Member) { m.Status.Covered = 100 }),
			fenced("b", any2, 90)}, Ask{}, "proven: it has flushed 0/64"},
		{"a rule covered that on another timeline", []Member{fenced("a", any2, 90, at("s1", 90)), with(fenced("b", any2, 90),
			func(m *Member) { m.Status.Timeline, m.Status.Covered, m.Status.Promised = 2, 100, 100 })}, Ask{}, "proven: it has"},
		{"a proxy has other WAL", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 100), func(m *Member) { m.Other = 95 })}, Ask{Candidate: "s1"},
			"b: it has other WAL than a below 0/5F: two servers wrote on timeline 3, and"},
		{"the candidate's proxy has other WAL", []Member{fenced("a", any2, 100),
			with(fenced("b", any2, 100, at("s1", 100)), func(m *Member) { m.Other = 95 })}, Ask{Candidate: "s1"},
			"NOT PROVEN: it is attached to b: it has other WAL than a below 0/5F"},
		{"a proxy is not compared", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 100), func(m *Member) { m.Uncompared = true })}, Ask{Candidate: "s1"},
			"b: its WAL is not compared with that of a yet, and"},
		{"a proxy does not know where the timeline begins", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 100), func(m *Member) { m.Status.Begin = 0 })}, Ask{Candidate: "s1"},
			"b: it does not know where timeline 3 begins, and"},
		{"two servers were promoted to one timeline", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 90), func(m *Member) { m.Status.Begin = 40 })}, Ask{},
			"a: two servers were promoted to timeline 3: here it begins at 0/32, elsewhere not, and"},
		{"a proxy that only another one knows", []Member{fenced("b", any2, 100, at("s1", 100)),
			with(fenced("a", any2, 100), func(m *Member) { m.Status.Members = []string{"B", "c"} })}, Ask{},
			"NOT PROVEN: c: is in cluster.members of a and not of b: ask a, or restart b with the same cluster.members; " +
				"if c is gone for good: replproxy forget c at a"},
		{"and of which the end is given", []Member{fenced("b", any2, 100, at("s1", 100)),
			with(fenced("a", any2, 100), func(m *Member) { m.Status.Members = []string{"b", "c"} })},
			Ask{Ends: map[string]lsn.LSN{"c": 100}}, "proven: it has flushed 0/64, and nothing"},
		{"it is known by one that is away", []Member{fenced("b", "ANY 1 (s1)", 100, at("s1", 100)),
			with(with(fenced("a", "ANY 1 (s1)", 100), away), func(m *Member) { m.Status.Members = []string{"b", "c"} })},
			Ask{}, "NOT PROVEN: c: is in cluster.members of a"},
		{"it was emptied, and is not as far again", []Member{fenced("b", "ANY 1 (b, s1)", 90, at("s1", 900)),
			with(fenced("a", "ANY 1 (a, s1)", 90), begins)}, Ask{},
			"NOT PROVEN: a: its store was emptied and is on timeline 1 so far, and it had reported WAL of timeline 3 up to 0/384, and " +
				"ANY 1 (a, s1) may have been satisfied by a, whose ends are not final: say where its reports end, --end a=LSN"},
		{"and its end is given, which is beyond the candidate's", []Member{fenced("b", "ANY 1 (b, s1)", 90, at("s1", 850)),
			with(fenced("a", "ANY 1 (a, s1)", 90), begins)}, Ask{Ends: map[string]lsn.LSN{"a": 0}},
			"NOT PROVEN: nobody who is reached has WAL up to 0/384"},
		{"all were emptied", []Member{with(fenced("a", "ANY 1 (s1)", 90), begins)}, Ask{Ends: map[string]lsn.LSN{"s1": 850}},
			"NOT PROVEN: no proxy that is reached knows where timeline 3 begins"},
		{"and another timeline is said", []Member{with(fenced("a", "ANY 1 (s2)", 90), begins)},
			Ask{Timeline: 1, Ends: map[string]lsn.LSN{"s1": 850, "a": 90}},
			"NOT PROVEN: a had reported WAL of timeline 3: that is the one to leave"},
		{"its store is empty", []Member{fenced("b", "ANY 1 (s2)", 90, at("s1", 90)), with(fenced("a", "", 90), func(m *Member) {
			m.Status = MemberStatus{Node: "a", Fenced: 3}
		})}, Ask{}, "a: its store is empty, and without a rule its own store releases commits: say where its reports end, --end a=LSN"},
		{"a proxy that has not followed yet", []Member{fenced("a", any2, 100, at("s1", 100)),
			with(fenced("b", any2, 900), func(m *Member) { m.Status.Timeline = 2 })}, Ask{}, "proven"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.ask.Candidate = "s1"
			v, ok := Look(c.members, c.ask).Of("s1")
			if line := v.String(); !ok || !strings.Contains(line, c.want) {
				t.Errorf("%s\nwant %s", line, c.want)
			}
			if (v.State == NotProven) != (len(v.Why) > 0) {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestEndsThatWereGiven: the row of a proxy whose end is the operator's word says so.
func TestEndsThatWereGiven(t *testing.T) {
	all := Look([]Member{fenced("a", "", 100), {Status: MemberStatus{Node: "C"}}}, Ask{Ends: map[string]lsn.LSN{"c": 0x50}})
	if r := all.Proxies[1]; !r.Final || r.Why != "at 0/50, as you said" {
		t.Errorf("%+v", r)
	}
}

// Rows of proxies that are not reached stay, their standbys are somewhere else; proxies are no standbys.
func TestRows(t *testing.T) {
	tail := Look([]Member{
		fenced("a", "", 100, at("s2", 90), at("b", 90), at("s1", 80)), with(fenced("b", "", 100, at("s3", 70)), away),
	}, Ask{})
	var names []string
	for _, s := range tail.Standbys {
		names = append(names, s.Name+" over "+s.Proxy)
	}
	if !slices.Equal(names, []string{"s1 over a", "s2 over a"}) || len(tail.Proxies) != 2 || len(tail.Candidates) != 2 {
		t.Errorf("%+v", tail)
	}
}

func TestMemberStatus(t *testing.T) {
	a := fenced("a", "", 100, Standby{Name: "s1", Replied: time.Unix(1e9, 0).UTC()}).Status
	b, older, err := Encode(a)
	b = b[:older]
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode("a", 1, b); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v", got, err)
	}
	later := strings.TrimSuffix(string(b), "}") + `,"unknown":[1]}`
	if _, err := Decode("a", 1, []byte(later+`{"promised_lsn":"0/90"}`)); err == nil {
		t.Error("a second object is taken in version 1")
	}
	got, err := Decode("a", 2, []byte(later+`{"promised_lsn":"0/90","unknown":2} and what is not known`))
	if want := a; err != nil || got.Promised != 0x90 {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	whole := a
	whole.Complete, whole.CompleteHash, whole.Promised, whole.PromisedOn = 90, 7, 80, 2
	b, older, err = Encode(whole)
	if got, e := Decode("a", 2, b); err != nil || e != nil || !reflect.DeepEqual(got, whole) {
		t.Errorf("in version 2: %+v, %v, %v", got, err, e)
	}
	if got, e := Decode("a", 1, b[:older]); e != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("in version 1: %+v, %v", got, e)
	}
	many := a
	many.Standbys = slices.Repeat([]Standby{{Name: strings.Repeat("\x01", vote.MaxName)}}, vote.MaxSessions+1)
	b, older, err = Encode(many)
	b = b[:older]
	if got, e := Decode("a", 1, b); err != nil || e != nil || len(got.Standbys) != vote.MaxSessions || len(b) > vote.MaxStateSize {
		t.Errorf("%d bytes, %v, %v", len(b), err, e)
	}
	for _, bad := range []string{"", "{}", `{"node":"b"}`, `{"node":"a","standbys":[{"application_name":"S1"}]}`} {
		if _, err := Decode("a", 1, []byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
