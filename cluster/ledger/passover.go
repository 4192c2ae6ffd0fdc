package ledger

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// rise compares a report with the one before it.
type rise struct {
	from lsn.Progress // the positions before
	only bool         // nothing but positions has changed, and they rose
}

// rises reports whether r says of its session what old said, but for higher positions. A session that had no flush
// could not vote, and one that can now changes more than a position: FIRST waits for it.
func rises(old, r vote.Report) bool {
	return old.Seq > 0 && r.Timeline == old.Timeline && r.Streaming == old.Streaming && r.Silent == old.Silent &&
		old.Flush != lsn.Invalid && slices.Equal(r.Distinct, old.Distinct)
}

// Unmoved reports whether the newest report of a session of this node leaves the positions of e as they are, where e
// was right before it. In each column one of three is enough:
//
//   - it rose to at most what is covered: nobody is added to those who are beyond that;
//   - it was beyond that before: the same;
//   - this node's rule counts more voters than there are sessions beyond it.
//
// That holds for ANY, FIRST, zones and several rules: each needs its count beyond a position to cover more. A voter is
// not beyond it without a session that is.
func (l *Ledger) Unmoved(e *Evaluation, incarnation uint64) bool {
	s := l.sessions[vote.Key{Node: l.o.Node, Incarnation: incarnation}]
	if s == nil || !s.rose.only {
		return false
	}
	from, to := &s.rose.from, &s.report.Progress
	write := beside(e.Write, from.Write, to.Write)
	flush := beside(e.Flush, from.Flush, to.Flush)
	apply := beside(e.Apply, from.Apply, to.Apply)
	if write && flush && apply {
		return true
	}
	names := &l.own().rule.Names
	if names.Empty() {
		return false
	}
	beyond := l.beyondThat(e.Progress)
	need := int(names.Count)
	return (write || beyond.write < need) && (flush || beyond.flush < need) && (apply || beyond.apply < need)
}

// beside reports whether a rise does not pass the position that is covered.
func beside(covered, from, to lsn.LSN) bool { return from > covered || to <= covered }

// tally counts sessions, column by column.
type tally struct{ write, flush, apply int }

// beyondThat counts the sessions that this node's rule counts and that say to be beyond p, on whatever timeline.
func (l *Ledger) beyondThat(p lsn.Progress) (n tally) {
	for _, s := range l.ordered {
		if !s.counted {
			continue
		}
		n.write += one(s.report.Write > p.Write)
		n.flush += one(s.report.Flush > p.Flush)
		n.apply += one(s.report.Apply > p.Apply)
	}
	return n
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
