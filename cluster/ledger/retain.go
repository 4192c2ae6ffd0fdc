package ledger

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Everything as a position to keep WAL from keeps all of it.
const Everything lsn.LSN = 1

// safe keeps, by name, the highest flush positions of standbys that apply the WAL for which this store votes. A
// position counts as far as a node with the same WAL sent it. No more names than are asked for, the highest.
type safe struct {
	system   lsn.SystemID
	timeline lsn.TimelineID
	flushed  map[string]lsn.LSN
}

// note remembers the flush position of the standby called name. It keeps the until highest positions, by name. A
// standby that was dropped for its low position is taken in again by a later, higher one.
func (s *safe) note(name string, flush lsn.LSN, until int) {
	s.flushed[name] = max(s.flushed[name], flush)
	for len(s.flushed) > max(until, 1) {
		lowest := name
		for n, at := range s.flushed {
			if at < s.flushed[lowest] {
				lowest = n
			}
		}
		delete(s.flushed, lowest)
	}
}

// from returns the position up to which at least until standbys have flushed. Everything: fewer than until have
// reported one.
func (s *safe) from(until int) lsn.LSN {
	if len(s.flushed) < until {
		return Everything
	}
	all := make([]lsn.LSN, 0, len(s.flushed))
	for _, at := range s.flushed {
		all = append(all, at)
	}
	slices.Sort(all)
	return max(all[len(all)-until], Everything)
}

// Retain returns the position from which on WAL of timeline t may be nowhere but in stores that voted for it (ruling
// R4). WAL below it was flushed by until standbys of the cluster that apply it (ruling R40). [Everything]: fewer
// standbys than until have reported a flush, so keep all. Invalid: until is 0, or no rule in use counts this node's
// store; assume says that one does, while members have not been heard. Ask every second: a session that comes and goes
// between two calls is not noticed, which keeps more.
func (l *Ledger) Retain(now time.Time, system lsn.SystemID, t lsn.TimelineID, until int, assume bool) lsn.LSN {
	if l.safe.system != system || l.safe.timeline != t || l.safe.flushed == nil {
		l.safe = safe{system, t, map[string]lsn.LSN{}}
	}
	for _, s := range l.sessions {
		if at := l.has(s, system, t); at != lsn.Invalid {
			l.safe.note(s.Name, at, until)
		}
	}
	if until <= 0 || !assume && !l.Votes(now) {
		return lsn.Invalid
	}
	return l.safe.from(until)
}

// has returns the position up to which a standby has flushed t. For pg_receivewal, which applies nothing, it is
// Invalid. So it is at a member of message version 1, whose WAL is not known to be ours.
func (l *Ledger) has(s *session, system lsn.SystemID, t lsn.TimelineID) lsn.LSN {
	m, r := l.members[s.Node], s.report
	switch {
	case s.Kind != vote.Standby, s.System != system, system == 0, r.Timeline != t, r.Apply == lsn.Invalid,
		l.isMember(s.Name), l.beyond[s.Name], m.contested, l.otherHistory(m), m != l.own() && m.version == 1:
		return lsn.Invalid
	}
	return min(r.Flush, l.upTo(m))
}

// Votes reports whether a rule on which reports may rest counts this store. That is a rule in use, or the one before
// it until it is established.
func (l *Ledger) Votes(now time.Time) bool {
	store := quorum.Voter{Name: vote.Fold(l.o.Node), Store: true}
	counts := func(d quorum.Rule) bool { return quorum.Priority(d.Names, store) > 0 }
	for _, v := range l.inUse(nil, now) {
		for _, name := range v.Nodes {
			m := l.members[name]
			if counts(m.rule) {
				return true
			}
			if r := m.state.Rule; !r.Established && r.Generation > 0 {
				if before, err := Parse(r.Before); err != nil || counts(before) {
					return true
				}
			}
		}
	}
	return false
}
