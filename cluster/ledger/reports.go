package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
)

// sessionName identifies the sessions that may be of one standby, or of several with one name.
type sessionName struct {
	kind vote.Kind
	name string // folded
}

// enter adds a session.
func (l *Ledger) enter(s *session) {
	s.home = l.members[s.Node]
	s.named = s.Kind == vote.Standby && l.isMember(s.Name)
	s.counted = l.counts(s)
	l.sessions[s.Key] = s
	at, _ := slices.BinarySearchFunc(l.ordered, s, inOrder)
	l.ordered = slices.Insert(l.ordered, at, s)
	c := sessionName{s.Kind, s.Name}
	if l.sharing[c] == nil {
		l.sharing[c] = map[vote.Key]*session{}
	}
	l.sharing[c][s.Key] = s
}

// counts reports whether this node's rule counts a session.
func (l *Ledger) counts(s *session) bool {
	return l.own().rule.Counts(quorum.Voter{Name: s.Name, Store: s.Kind == vote.Store})
}

// leave removes a session that is there.
func (l *Ledger) leave(k vote.Key) {
	s := l.sessions[k]
	c := sessionName{s.Kind, s.Name}
	if at, found := slices.BinarySearchFunc(l.ordered, s, inOrder); found {
		l.ordered = slices.Delete(l.ordered, at, at+1)
	}
	delete(l.sessions, k)
	if delete(l.sharing[c], k); len(l.sharing[c]) == 0 {
		delete(l.sharing, c)
	}
}

// inOrder sorts by name, kind, node, incarnation.
func inOrder(a, b *session) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Node, b.Node),
		cmp.Compare(a.Incarnation, b.Incarnation))
}

// replace makes the sessions of s the only ones of its node.
func (l *Ledger) replace(now time.Time, s vote.State) {
	listed := map[vote.Key]bool{}
	for _, x := range s.Sessions {
		listed[x.Key] = true
		if l.sessions[x.Key] == nil {
			l.enter(&session{Session: x, report: vote.Report{Key: x.Key}, attached: now})
		}
	}
	for k := range l.sessions {
		if k.Node == s.Node && !listed[k] {
			l.leave(k)
		}
	}
}

// Report takes over another member's report of one of its sessions, and reports whether that changed anything. A report
// of a session that no State lists is counted and dropped.
func (l *Ledger) Report(now time.Time, r vote.Report) bool {
	s := l.sessions[r.Key]
	if s == nil || r.Node == l.o.Node || len(r.Distinct) > vote.MaxDistinct {
		l.counters.Reports++
		return false
	}
	l.members[r.Node].at = now
	l.members[r.Node].bytes.Report(r.Bytes)
	return s.merge(now, r)
}

// Knows reports whether a State has listed a session that has not ended.
func (l *Ledger) Knows(k vote.Key) bool { return l.sessions[k] != nil }

// merge keeps the maximum within one timeline; the rest is the newer report's.
func (s *session) merge(now time.Time, r vote.Report) bool {
	old := s.report
	newer := r.Seq > old.Seq
	if !newer && r.Timeline != old.Timeline {
		return false
	}
	if r.Timeline == old.Timeline {
		r.Write, r.Flush, r.Apply = max(r.Write, old.Write), max(r.Flush, old.Flush), max(r.Apply, old.Apply)
	}
	if !newer {
		r.Seq, r.Streaming, r.Distinct, r.Bytes = old.Seq, old.Streaming, old.Distinct, old.Bytes
		r.Silent = old.Silent
	}
	s.report = r
	s.rose = rise{from: old.Progress, only: rises(old, r)}
	moved := r.Timeline != old.Timeline || r.Write != old.Write || r.Flush != old.Flush || r.Apply != old.Apply
	if moved {
		s.moved = now
	}
	return moved || r.Streaming != old.Streaming || r.Silent != old.Silent || !slices.Equal(r.Distinct, old.Distinct)
}
