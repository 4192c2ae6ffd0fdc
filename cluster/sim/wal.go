package sim

import (
	"math"
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fork marks the position at which a line of WAL left its parent. A line identifies bytes; a server knows only the
// number of its timeline. Two lines may have one number: of two promotions, or of a server that lost WAL and wrote
// other.
type fork struct {
	parent lsn.TimelineID // a line
	at     lsn.LSN
	number lsn.TimelineID

	history     []step // what the history file of the line's timeline says, the newest first
	historyHash uint64 // of that
	begun       lsn.TimelineID
}

// fork returns the fork at which a line begins; false: it is the first one, or none.
func (w *world) fork(line lsn.TimelineID) (*fork, bool) {
	if line < 2 {
		return nil, false
	}
	return &w.forks[line], true
}

// begins returns the position at which a line that is not the first one left its parent.
func (w *world) begins(line lsn.TimelineID) lsn.LSN { return w.forks[line].at }

// place is the end of some WAL. tli is a line, known to this world only.
type place struct {
	tli lsn.TimelineID
	at  lsn.LSN
}

const everywhere = lsn.LSN(math.MaxUint64)

// holds reports whether the WAL that ends at have contains that which ends at want.
func (w *world) holds(have, want place) bool {
	for f, ok := w.fork(want.tli); ok && want.at <= f.at; f, ok = w.fork(want.tli) {
		want.tli = f.parent // the bytes before the fork are the parent's
	}
	for {
		if have.tli == want.tli {
			return want.at <= have.at
		}
		f, ok := w.fork(have.tli)
		if !ok {
			return false
		}
		have = place{f.parent, min(have.at, f.at)}
	}
}

// common returns the part of p that lies on the line of tli.
func (w *world) common(p place, tli lsn.TimelineID) place {
	for {
		for line := (place{tli, everywhere}); ; {
			if line.tli == p.tli {
				return place{p.tli, min(p.at, line.at)}
			}
			f, ok := w.fork(line.tli)
			if !ok {
				break
			}
			line = place{f.parent, min(line.at, f.at)}
		}
		f, ok := w.fork(p.tli)
		if !ok {
			return place{}
		}
		p = place{f.parent, min(p.at, f.at)}
	}
}

// number returns the number of a line's timeline; 0: there is no such line.
func (w *world) number(line lsn.TimelineID) lsn.TimelineID {
	if f, ok := w.fork(line); ok {
		return f.number
	}
	return min(line, 1)
}

// branch makes a line that leaves parent at a position.
func (w *world) branch(parent lsn.TimelineID, at lsn.LSN, number lsn.TimelineID) lsn.TimelineID {
	line := lsn.TimelineID(len(w.forks))
	f := fork{parent: parent, at: at, number: number, begun: line, history: w.history(parent)}
	if was := w.number(parent); was != number {
		f.history = append([]step{{was, at}}, f.history...)
	} else {
		f.begun = w.begun(parent)
	}
	f.historyHash = uint64(number)
	for _, s := range f.history {
		f.historyHash = f.historyHash*1_000_003 + uint64(s.number)<<40 + uint64(s.at)
	}
	w.forks = append(w.forks, f)
	return line
}

// step is one line of a history file: the timeline that was left, and where.
type step struct {
	number lsn.TimelineID
	at     lsn.LSN
}

// history returns the content of a line's history file, the newest step first.
func (w *world) history(line lsn.TimelineID) []step { return w.forks[line].history }

// begun returns the line with which a line's timeline began.
func (w *world) begun(line lsn.TimelineID) lsn.TimelineID { return w.forks[line].begun }

// left returns the position at which the history of a line leaves a timeline's number: everywhere for its own. false:
// it never had it.
func (w *world) left(line, number lsn.TimelineID) (lsn.LSN, bool) {
	if w.number(line) == number {
		return everywhere, true
	}
	for _, s := range w.history(line) {
		if s.number == number {
			return s.at, true
		}
	}
	return 0, false
}

// continues reports whether the history of next, by its numbers, goes on from that of have.
func (w *world) continues(have, next lsn.TimelineID) bool {
	before, all := w.history(have), w.history(next)
	if w.number(have) != w.number(next) {
		at := slices.IndexFunc(all, func(s step) bool { return s.number == w.number(have) })
		if at < 0 {
			return false
		}
		all = all[at+1:]
	}
	return slices.Equal(before, all)
}

// hashes returns the history hash and the fingerprint of a branch, as vote.State has them: of the numbers of its
// timelines, and of its first bytes.
func (w *world) hashes(of lsn.TimelineID, has lsn.LSN) (uint64, vote.Fingerprint) {
	history, begun := w.forks[of].historyHash, w.begun(of)
	f, later := w.fork(begun)
	switch {
	case !later:
		return history, vote.Fingerprint{Never: true}
	case has <= f.at: // how it begins has yet to come
		return history, vote.Fingerprint{}
	}
	return history, vote.Fingerprint{Hash: uint64(begun)}
}
