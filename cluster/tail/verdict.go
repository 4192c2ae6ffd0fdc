package tail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The states of a verdict.
const (
	Proven    = "proven"
	ToBeFed   = "to be fed" // proven when it has flushed Target
	NotProven = "not proven"
)

// Verdict says whether one candidate may be promoted. Promote it when it is Proven, on no other word.
type Verdict struct {
	Name   string   `json:"application_name"`
	State  string   `json:"state"`
	Proxy  string   `json:"proxy,omitempty"` // that it is attached to
	At     lsn.LSN  `json:"flush_lsn,omitzero"`
	Target lsn.LSN  `json:"target_lsn,omitzero"`   // what it must have flushed
	From   []string `json:"from,omitempty"`        // proxies that have it
	Said   []string `json:"as_said_for,omitempty"` // whose ends the operator has given
	Why    []string `json:"why,omitempty"`         // not proven, and what to do
}

// verdict judges a candidate by its folded name.
func (l *look) verdict(name string) Verdict {
	v := Verdict{Name: name, State: NotProven, Said: sortedKeys(l.ask.Ends)}
	if l.isMember(name) {
		return v.because("it is a proxy's name")
	}
	end, vouched := l.ask.Ends[name]
	v.At = end
	timeline, sessions := l.tail.Timeline, 0
	for _, s := range l.tail.Standbys {
		if s.Name != name {
			continue
		}
		sessions++
		v.Proxy = s.Proxy
		if timeline = s.Timeline; timeline == l.tail.Timeline {
			v.At = max(v.At, s.Flush)
		}
	}
	switch {
	case l.tail.Timeline == 0:
		return v.because("no proxy that is reached has WAL")
	case l.tail.Timeline > 1 && max(l.tail.Begin, l.leastBegin()) == lsn.Invalid:
		v = v.because(fmt.Sprintf("no proxy that is reached knows where timeline %s begins: reach one that does; if "+
			"there is none no proxy can prove anything (docs/failover.md, A manager without a hook)", l.tail.Timeline))
	case sessions > 1 && !vouched:
		v = v.because(l.sameName(name, sessions))
	case sessions == 0 && !vouched:
		v = v.because("it is not attached to a proxy that is reached: attach it, or say --end " + name +
			"=LSN, the end of its WAL")
	case timeline > l.tail.Timeline:
		v = v.because(fmt.Sprintf("it is on timeline %s, beyond the one that is left", timeline))
	}
	if i := slices.IndexFunc(l.members, func(m Member) bool { return m.Status.Node == v.Proxy }); i > 0 && !vouched {
		if m := l.members[i]; m.Other != lsn.Invalid || m.Uncompared {
			v = v.because("it is attached to " + v.Proxy + ": " + l.tail.Proxies[i].Why)
		}
	}
	for _, r := range l.tail.Proxies {
		if r.Timeline > l.tail.Timeline {
			v = v.because(fmt.Sprintf("%s is on timeline %s already: that is the one to leave", r.Node, r.Timeline))
		}
		if l.tail.Timeline < r.PromisedOn && r.Timeline < r.PromisedOn {
			v = v.because(fmt.Sprintf("%s had reported WAL of timeline %s: that is the one to leave", r.Node,
				r.PromisedOn))
		}
		if l.unfenced(r) { // what can be fenced is fenced first (ruling R2)
			why := fmt.Sprintf("%s is not fenced: run replproxy fence --timeline %s there", r.Node, l.tail.Timeline)
			if quiet := silence(r); quiet != "" {
				why += "; " + quiet + ": " + gone(r.Node)
			}
			v = v.because(why)
		}
	}
	proof := l.question(name).Prove()
	v.Target = max(proof.Target, l.acknowledged())
	for _, g := range proof.Gaps {
		if l.unfenced(l.row(g.Proxy)) {
			continue
		}
		v = v.because(l.explain(g, proof.Unknown))
	}
	if len(v.Why) > 0 {
		return v
	}
	if v.At >= v.Target {
		v.State = Proven
		return v
	}
	for _, r := range l.tail.Proxies {
		if r.Reached && r.Timeline == l.tail.Timeline && r.Received >= v.Target {
			v.From = append(v.From, r.Node)
		}
	}
	if len(v.From) == 0 {
		return v.because(fmt.Sprintf("nobody who is reached has WAL up to %s: reach the proxy or standby that has it, "+
			"or promote that standby%s%s", v.Target, l.holders(v), l.asideFor(v.Target)))
	}
	if slices.Contains(v.From, v.Proxy) {
		v.From = []string{v.Proxy}
	}
	v.State = ToBeFed
	return v
}

func (v Verdict) because(why string) Verdict {
	v.Why = append(v.Why, why)
	return v
}

// unfenced reports whether a proxy is left that could be fenced, and is not.
func (l *look) unfenced(r Row) bool { return r.Reached && !r.Final && r.Fenced < l.tail.Timeline }

// row returns the proxy of a folded name, which must be one.
func (l *look) row(folded string) Row {
	return l.tail.Proxies[slices.IndexFunc(l.tail.Proxies, func(r Row) bool { return vote.Fold(r.Node) == folded })]
}

// explain words a gap and the way to close it.
func (l *look) explain(g Gap, unknown []Holder) string {
	row := l.row(g.Proxy)
	todo := fmt.Sprintf("fence it and say --end %s=LSN with the end that the fence prints", row.Node)
	head := row.Node + ": " + row.Why
	if !row.Reached && row.KnownBy == "" {
		head += ", and it is not reached"
		todo += ", or where its reports end if it is gone for good (" + goneForGood + ")"
	}
	if row.lacks {
		todo = fmt.Sprintf("say where its reports end, --end %s=LSN (%s)", row.Node, goneForGood)
		if row.Fenced < l.tail.Timeline {
			todo = "fence it and " + todo
		}
	}
	if row.asideTo != lsn.Invalid && row.Reached && row.Fenced >= l.tail.Timeline {
		todo = row.keepsAside()
	}
	switch {
	case row.KnownBy != "":
		by, asked := row.KnownBy, l.members[0].Status.Node
		return fmt.Sprintf("%s: ask %s, or restart %s with the same cluster.members; if %[4]s is gone for good: "+
			"replproxy forget %[4]s at %[2]s; if both are: --end %[4]s=LSN (%[5]s)",
			head, by, asked, row.Node, goneForGood)
	case g.Unheard:
		return fmt.Sprintf("%s, and its rule is not known: %s", head, todo)
	case g.Rule.Names.Empty():
		return fmt.Sprintf("%s, and without a rule its own store releases commits: %s", head, todo)
	}
	var names []string
	for _, h := range unknown {
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
	}
	return fmt.Sprintf("%s, and %s may have been satisfied by %s, whose ends are not final: %s; or stop standbys and "+
		"say --end NAME=LSN of each", head, g.Rule.Names, strings.Join(names, ", "), todo)
}

// Of returns the verdict on a candidate by its folded name; false: it was not judged.
func (t Tail) Of(name string) (Verdict, bool) {
	for _, v := range t.Candidates {
		if v.Name == name {
			return v, true
		}
	}
	return Verdict{}, false
}

// String returns the verdict in a line.
func (v Verdict) String() string {
	switch v.State {
	case Proven:
		return fmt.Sprintf("%s: proven: it has flushed %s, and nothing that was acknowledged lies beyond %s%s",
			v.Name, v.At, v.Target, v.said(","))
	case ToBeFed:
		how := "by " + v.Proxy + ", which it is attached to"
		switch {
		case v.Proxy == "":
			how = "from " + strings.Join(v.From, " or ") + ": attach it to a proxy, or give it that store's files"
		case v.From[0] != v.Proxy:
			how += " and which takes it from " + strings.Join(v.From, " or ")
		}
		how += v.said(";")
		return fmt.Sprintf("%s: proven after it has been fed from %s to %s %s", v.Name, v.At, v.Target, how)
	}
	return fmt.Sprintf("%s: NOT PROVEN: %s", v.Name, strings.Join(v.Why, "; "))
}

// said returns whose word the verdict rests on, behind a separator; "": nobody's.
func (v Verdict) said(separator string) string {
	if len(v.Said) == 0 {
		return ""
	}
	return separator + " as you said for " + strings.Join(v.Said, " and ")
}

// Proves reports whether the candidate of that application_name is proven, or is none of those that were asked for.
func (t Tail) Proves(candidate string) bool {
	v, asked := t.Of(vote.Fold(candidate))
	return !asked || v.State == Proven
}
