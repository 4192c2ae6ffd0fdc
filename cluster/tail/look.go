package tail

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// allStored is said as promised by a member whose store was emptied amid reports.
const allStored = lsn.LSN(math.MaxUint64)

// Member has the knowledge of one proxy of the cluster. Status.Node is always set.
type Member struct {
	Status  MemberStatus
	Said    bool // Status is more than a name
	Reached bool
	Age     float64 // seconds since Status came
	Silent  float64 // seconds since it was heard; 0: this proxy itself, or it was not heard at all
	Had     lsn.LSN // as much of Status.Timeline its store is known to have had
	// Past has the positions that it had acknowledged before it left Status.Timeline, or lost its store.
	Past []lsn.Point
	// Heard: its rule is known, which is Rule.
	Heard     bool
	Rule      vote.Rule
	Contested bool // two live holders of its name
	Relapsed  bool // its boot number was used before
	// Other is a position below which its WAL of Status.Timeline differs from that of the asked member. Uncompared is
	// true until both are known to be equal as far as they go (ruling R32).
	Other      lsn.LSN
	Uncompared bool
	// KnownBy is the member that has it in its configuration, where the asked one has not: it may report all the same.
	KnownBy string
}

// Ask is an operator's question.
type Ask struct {
	Timeline  lsn.TimelineID     // that is left; 0: the highest of any proxy
	Candidate string             // folded; "": every standby
	Ends      map[string]lsn.LSN // by folded name: final ends that the operator vouches for
}

// Tail is the answer.
type Tail struct {
	Timeline   lsn.TimelineID `json:"timeline"` // that is left
	Begin      lsn.LSN        `json:"begin_lsn,omitzero"`
	Proxies    []Row          `json:"proxies"`
	Standbys   []Attached     `json:"standbys"`
	Candidates []Verdict      `json:"candidates"`
}

// Row is a proxy.
type Row struct {
	MemberStatus
	Reached bool    `json:"reached"`
	Age     float64 `json:"age_seconds"`
	Silent  float64 `json:"silent_seconds,omitzero"`
	Rule    string  `json:"rule"`
	KnownBy string  `json:"known_by,omitempty"` // see Member
	Final   bool    `json:"final"`              // its end
	Why     string  `json:"why"`                // in words

	asideTo lsn.LSN // it has set WAL up to there aside, which is why its end is not final; Invalid: another reason
	lacks   bool    // its store lacks WAL that it had, or may have had: where that ends does not tell what it reported
}

// Attached is a standby's session.
type Attached struct {
	Standby
	Proxy string `json:"proxy"`
}

// look is one answer in the making.
type look struct {
	ask     Ask
	members []Member
	tail    Tail
	ids     uint64
}

// Look answers ask from what is known of the members, of which the one that is asked comes first.
func Look(members []Member, ask Ask) Tail {
	members = withStrangers(members)
	l := &look{ask: ask, members: members}
	l.timeline()
	for _, m := range members {
		l.tail.Proxies = append(l.tail.Proxies, l.describe(m))
		for _, s := range m.Status.Standbys {
			if m.Reached && !l.isMember(s.Name) {
				l.tail.Standbys = append(l.tail.Standbys, Attached{s, m.Status.Node})
			}
		}
	}
	slices.SortStableFunc(l.tail.Standbys, func(a, b Attached) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range l.candidates() {
		l.tail.Candidates = append(l.tail.Candidates, l.verdict(name))
	}
	return l.tail
}

// withStrangers adds the proxies that only other members know, of whom nothing else is known.
func withStrangers(members []Member) []Member {
	all := slices.Clone(members)
	for _, m := range members {
		for _, name := range m.Status.Members {
			known := func(x Member) bool { return vote.Fold(x.Status.Node) == vote.Fold(name) }
			if !slices.ContainsFunc(all, known) {
				all = append(all, Member{Status: MemberStatus{Node: name}, KnownBy: m.Status.Node})
			}
		}
	}
	return all
}

// timeline sets the timeline that is left, and its beginning: the one that was asked for, or the highest that a member
// has, or had before its store was emptied.
func (l *look) timeline() {
	l.tail.Timeline = l.ask.Timeline
	for _, m := range l.members {
		if l.ask.Timeline == 0 {
			l.tail.Timeline = max(l.tail.Timeline, m.Status.Timeline, m.Status.PromisedOn)
		}
	}
	if l.tail.Timeline == 0 {
		l.tail.Timeline = l.givenUpTimeline()
	}
	for _, m := range l.members {
		if m.Status.Timeline == l.tail.Timeline && m.Status.Timeline != 0 {
			l.tail.Begin = max(l.tail.Begin, m.Status.Begin)
		}
	}
}

// describe returns the row of a proxy, with whether its end is final, and why.
func (l *look) describe(m Member) Row {
	a, t := m.Status, l.tail.Timeline
	r := Row{MemberStatus: a, Reached: m.Reached, Age: m.Age, Silent: m.Silent, KnownBy: m.KnownBy}
	r.Rule = ruleText(m.Rule.RuleText)
	end, vouched := l.ask.Ends[vote.Fold(a.Node)]
	switch {
	case vouched:
		r.Final, r.Why = true, fmt.Sprintf("at %s, as you said", end)
	case m.KnownBy != "":
		r.Why = fmt.Sprintf("is in cluster.members of %s and not of %s", m.KnownBy, l.members[0].Status.Node)
	case !m.Said:
		r.Why = "has said nothing since this proxy started"
	case m.Contested:
		r.Why = "two nodes hold its name"
	case m.Relapsed:
		r.Why = "its boot number was used before: its data_dir is an old copy, or was lost"
	case a.Timeline == 0:
		r.Why, r.asideTo = l.emptied(m)
	case a.System != l.members[0].Status.System:
		r.Why = "it has WAL of another system"
	case a.Fenced < t:
		r.Why = "not fenced"
	case a.Timeline > t:
		r.Why = "has left the timeline"
	case a.PromisedOn > a.Timeline:
		r.Why = begunAnew(a)
	case a.Owed > a.Flushed:
		r.Why = "its store owes WAL up to " + a.Owed.String()
	case a.Timeline == t && t > 1 && a.Begin == lsn.Invalid:
		r.Why = fmt.Sprintf("it does not know where timeline %s begins", t) // so it may be another one of that number
	case a.Timeline == t && l.forked():
		r.Why = fmt.Sprintf("two servers were promoted to timeline %s: here it begins at %s, elsewhere not", t, a.Begin)
	case a.Timeline == t && m.Other != lsn.Invalid:
		r.asideTo = l.setAside(a).To
		r.Why = fmt.Sprintf("it has other WAL than %s below %s: two servers wrote on timeline %s",
			l.members[0].Status.Node, m.Other, t)
	case a.Timeline == t && m.Uncompared:
		r.Why = "its WAL is not compared with that of " + l.members[0].Status.Node + " yet"
	case a.Timeline == t && max(a.PromisedHere(), m.Had) == allStored:
		r.Why = "its store was emptied amid reports: nobody knows how far they went"
	case a.Timeline == t && max(a.PromisedHere(), m.Had) > max(a.Flushed, a.Written):
		r.asideTo = l.setAside(a).To
		r.Why = "its store lacks WAL that it had: up to " + max(a.PromisedHere(), m.Had).String()
	default:
		r.Final, r.Why = true, "fenced"
	}
	r.lacks = a.PromisedOn > a.Timeline || a.Timeline == 0 && m.Said ||
		a.Timeline == t && max(a.PromisedHere(), m.Had) > max(a.Flushed, a.Written)
	return r
}

// forked reports whether proxies have different histories of the timeline that is left: then an end of one says nothing
// about another, and whose commits count only the operator knows.
func (l *look) forked() bool {
	for _, m := range l.members {
		a := m.Status
		here := a.System == l.members[0].Status.System && a.Timeline == l.tail.Timeline
		if here && a.Begin != lsn.Invalid && a.Begin != l.tail.Begin {
			return true
		}
	}
	return false
}

// acknowledged returns the highest position that may have been acknowledged, by all that is remembered of reports and
// of covered positions. Where no voter has lost WAL that it voted for, final ends reach it.
func (l *look) acknowledged() (at lsn.LSN) {
	for _, m := range l.members {
		for _, p := range slices.Concat(m.Status.Acked(), m.Past) {
			if p.System == l.members[0].Status.System && p.Timeline == l.tail.Timeline {
				at = max(at, p.LSN)
			}
		}
	}
	return at
}

// holder returns the store of a row.
func (l *look) holder(r Row) Holder {
	h := Holder{Name: vote.Fold(r.Node), ID: l.id(), Store: true, Final: r.Final}
	if end, vouched := l.ask.Ends[h.Name]; vouched {
		h.End = end
	} else if r.Timeline == l.tail.Timeline {
		h.End = max(r.Flushed, r.Written) // it may have been told for remote_write before it was flushed
	}
	return h
}

func (l *look) id() uint64 { l.ids++; return l.ids }

func (l *look) isMember(folded string) bool {
	return slices.ContainsFunc(l.members, func(m Member) bool { return vote.Fold(m.Status.Node) == folded })
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ruleText(d vote.RuleText) string {
	if d.Spread == "" {
		return d.Names
	}
	return d.Names + ", zones " + d.Spread
}
