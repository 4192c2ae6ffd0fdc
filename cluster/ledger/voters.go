package ledger

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Standing tells whether a session counts, and the reason if it does not.
type Standing string

// The standings. Held counts under FIRST only (ruling R5).
const (
	Counts   Standing = "counts"
	Held     Standing = "held: its node is silent"
	NoReport Standing = "no report on this timeline"
	Catchup  Standing = "catching up"
	NoFlush  Standing = "reports no flush"
	OtherWAL Standing = "another system"
	// EmptyStore is about the node that looks, not about the session.
	EmptyStore   Standing = "this proxy's store is empty: nothing is compared with it"
	OtherHistory Standing = "its node has another history of this timeline"
	// OtherBytes has other WAL at the same positions; NotCompared is no difference. Neither counts (ruling R32).
	OtherBytes  Standing = "its node has other WAL than ours: another history"
	NotCompared Standing = "its node's WAL is not compared with ours yet"
	IsMember    Standing = "a member's name: its store votes"
	NodeFenced  Standing = "its node is fenced"
	// BeyondLoss has WAL beside ours, of which its positions tell nothing.
	BeyondLoss Standing = "it has WAL that was given up: make it anew"
	TwoHolders Standing = "two nodes hold its node's name"
	// Relapsed is about the node: its data_dir is an old copy, or was lost.
	Relapsed Standing = "its node's boot number was used before"
	// Withdrawn is shown for this node's own store; to the others it is catching up.
	Withdrawn Standing = "withdrawn: no space but that of WAL it voted for"
)

// View is one session as an evaluation sees it, for the question why a commit waits.
type View struct {
	vote.Session
	Report          vote.Report
	Standing        Standing
	Voter           int     // sessions with one number are one voter; -1: none
	UpTo            lsn.LSN // its node's WAL is known to be ours up to here: what it reports beyond does not count
	Attached, Moved time.Time
}

// Views returns all known sessions, ordered by name, node, incarnation.
func (l *Ledger) Views(now time.Time, system lsn.SystemID, t lsn.TimelineID) []View {
	return l.appendViews(make([]View, 0, len(l.sessions)), now, system, t)
}

func (l *Ledger) appendViews(views []View, now time.Time, system lsn.SystemID, t lsn.TimelineID) []View {
	for _, s := range l.ordered {
		views = append(views, View{
			Session: s.Session, Report: s.report, Standing: l.standing(now, s, system, t), Voter: -1,
			Attached: s.attached, Moved: s.moved, UpTo: l.upTo(s.home),
		})
	}
	return views
}

func (l *Ledger) standing(now time.Time, s *session, system lsn.SystemID, t lsn.TimelineID) Standing {
	m := s.home
	switch {
	case t == 0: // nothing can be said of others, nor of a fence there
		return EmptyStore
	case s.System == 0, s.System != system:
		return OtherWAL
	case m.contested:
		return TwoHolders
	case m.relapsed:
		return Relapsed
	case l.otherHistory(m) && s.report.Timeline == t:
		if l.uncompared(m) {
			return NotCompared
		}
		return OtherHistory
	case s.named:
		return IsMember
	case s.Kind == vote.Standby && l.beyond[s.Name]:
		return BeyondLoss
	case m.state.Fenced >= t:
		return NodeFenced
	case s.report.Timeline != t || s.report.Seq == 0:
		return NoReport
	case !s.report.Streaming:
		return Catchup
	case s.report.Flush == lsn.Invalid:
		return NoFlush
	case m.bytes.Differs() != lsn.Invalid && l.hashes(m):
		return OtherBytes
	case l.upTo(m) == lsn.Invalid:
		return NotCompared
	case l.silent(now, m):
		return Held
	}
	return Counts
}

// Named reports whether reports under an application_name count somewhere: it is a member's, or a name of a rule of
// one, without regard to case. The wildcard names nobody.
func (l *Ledger) Named(name string) bool {
	folded := vote.Fold(name)
	if l.isMember(folded) {
		return true
	}
	for _, m := range l.members {
		if slices.ContainsFunc(m.rule.Names.Names, func(n string) bool {
			return n != syncrep.Wildcard && vote.Fold(n) == folded
		}) {
			return true
		}
	}
	return false
}

// Counted reports whether a rule of a member, this node included, counts a standby of that application_name, without
// case.
func (l *Ledger) Counted(name string) bool {
	v := quorum.Voter{Name: vote.Fold(name)}
	for _, m := range l.members {
		if quorum.Priority(m.rule.Names, v) > 0 {
			return true
		}
	}
	return false
}

func (l *Ledger) isMember(folded string) bool {
	return slices.ContainsFunc(l.all, func(m *member) bool { return m.folded == folded })
}

// otherHistory reports whether the number of m's timeline says nothing about its WAL: it came there another way than
// this node, or one of the two does not know how.
func (l *Ledger) otherHistory(m *member) bool {
	own, other := &l.own().state, &m.state
	switch {
	case m == l.own():
		return false
	case own.HistoryHash == 0 || own.HistoryHash != other.HistoryHash:
		return true
	}
	return !own.FirstWAL.Known() || !other.FirstWAL.Known() && m.version != 1 || own.FirstWAL.Differs(other.FirstWAL)
}

// uncompared reports whether it is not known yet whether m's WAL is ours: then it is not another one's either.
func (l *Ledger) uncompared(m *member) bool {
	own, other := &l.own().state, &m.state
	return own.HistoryHash == 0 || other.HistoryHash == 0 ||
		own.HistoryHash == other.HistoryHash && !own.FirstWAL.Differs(other.FirstWAL)
}

// hashes reports whether a member has to show by hashes that its WAL is ours. One that speaks version 1 of the messages
// can't; it counts as in the release that did (ruling R39).
func (l *Ledger) hashes(m *member) bool { return m != l.own() && m.version > 1 }

// upTo returns the position up to which a member's WAL is known to be ours.
func (l *Ledger) upTo(m *member) lsn.LSN {
	switch {
	case !l.hashes(m):
		return Max
	case m.bytes.Differs() != lsn.Invalid:
		return lsn.Invalid
	}
	return m.bytes.Equal()
}

// votesOn reports whether a node has a session that could vote on t.
func (l *Ledger) votesOn(m *member, t lsn.TimelineID) bool {
	for _, s := range l.ordered {
		if s.home == m && s.report.Timeline == t && s.report.Streaming {
			return true
		}
	}
	return false
}
