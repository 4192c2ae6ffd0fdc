package sim

import (
	"math"
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fork marks the position at which a branch of WAL left its parent. A branch identifies bytes; a server knows only the
// number of its timeline. Two branches may have one number: of two promotions, or of a server that lost WAL and wrote
// other.
type fork struct {
	parent lsn.TimelineID // a branch
	at     lsn.LSN
	number lsn.TimelineID

	history     []step // what the history file of the branch's timeline says, the newest first
	historyHash uint64 // of that
	begun       lsn.TimelineID
}

// fork returns the fork at which a branch begins; false: it is the first one, or none.
func (w *world) fork(branch lsn.TimelineID) (*fork, bool) {
	if branch < 2 {
		return nil, false
	}
	return &w.forks[branch], true
}

// begins returns the position at which a branch that is not the first one left its parent.
func (w *world) begins(branch lsn.TimelineID) lsn.LSN { return w.forks[branch].at }

// place is the end of some WAL. tli is a branch, known to this world only.
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

// common returns the part of p that lies on the branch of tli.
func (w *world) common(p place, tli lsn.TimelineID) place {
	for {
		for branch := (place{tli, everywhere}); ; {
			if branch.tli == p.tli {
				return place{p.tli, min(p.at, branch.at)}
			}
			f, ok := w.fork(branch.tli)
			if !ok {
				break
			}
			branch = place{f.parent, min(branch.at, f.at)}
		}
		f, ok := w.fork(p.tli)
		if !ok {
			return place{}
		}
		p = place{f.parent, min(p.at, f.at)}
	}
}

// number returns the number of a branch's timeline; 0: there is no such branch.
func (w *world) number(branch lsn.TimelineID) lsn.TimelineID {
	if f, ok := w.fork(branch); ok {
		return f.number
	}
	return min(branch, 1)
}

// branch makes a branch that leaves parent at a position.
func (w *world) branch(parent lsn.TimelineID, at lsn.LSN, number lsn.TimelineID) lsn.TimelineID {
	branch := lsn.TimelineID(len(w.forks))
	f := fork{parent: parent, at: at, number: number, begun: branch, history: w.history(parent)}
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
	return branch
}

// step is one line of a history file: the timeline that was left, and where.
type step struct {
	number lsn.TimelineID
	at     lsn.LSN
}

// history returns the content of a branch's history file, the newest step first.
func (w *world) history(branch lsn.TimelineID) []step { return w.forks[branch].history }

// begun returns the branch with which a branch's timeline began.
func (w *world) begun(branch lsn.TimelineID) lsn.TimelineID { return w.forks[branch].begun }

// left returns the position at which the history of a branch leaves a timeline's number: everywhere for its own. false:
// it never had it.
func (w *world) left(branch, number lsn.TimelineID) (lsn.LSN, bool) {
	if w.number(branch) == number {
		return everywhere, true
	}
	for _, s := range w.history(branch) {
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
