package sim

import (
	"math"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// fork is where a timeline left its parent.
type fork struct {
	parent lsn.TimelineID
	at     lsn.LSN
}

// place is the end of some WAL.
type place struct {
	tli lsn.TimelineID
	at  lsn.LSN
}

const everywhere = lsn.LSN(math.MaxUint64)

// holds reports whether the WAL that ends at have contains that which ends at want.
func (w *world) holds(have, want place) bool {
	for f, ok := w.forks[want.tli]; ok && want.at <= f.at; f, ok = w.forks[want.tli] {
		want.tli = f.parent // the bytes before the fork are the parent's
	}
	for {
		if have.tli == want.tli {
			return want.at <= have.at
		}
		f, ok := w.forks[have.tli]
		if !ok {
			return false
		}
		have = place{f.parent, min(have.at, f.at)}
	}
}

// common is how much of p lies on the line of tli.
func (w *world) common(p place, tli lsn.TimelineID) place {
	for {
		for line := (place{tli, everywhere}); ; {
			if line.tli == p.tli {
				return place{p.tli, min(p.at, line.at)}
			}
			f, ok := w.forks[line.tli]
			if !ok {
				break
			}
			line = place{f.parent, min(line.at, f.at)}
		}
		f, ok := w.forks[p.tli]
		if !ok {
			return place{}
		}
		p = place{f.parent, min(p.at, f.at)}
	}
}

// isAncestor reports whether a is b or one of its ancestors.
func (w *world) isAncestor(a, b lsn.TimelineID) bool {
	for {
		if a == b {
			return true
		}
		f, ok := w.forks[b]
		if !ok {
			return false
		}
		b = f.parent
	}
}
