package loss

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// KeptBy returns s for a proxy whose store leaves timeline left for a later one, with WAL in it that was given up. A
// server was promoted that has that WAL, and where its timeline is followed nothing is lost. kept are the IDs of those
// losses. A loss stays as it is when anybody may have got what was written instead: a member that says so, as instead
// reports, or a standby that has shown it.
func (s Set) KeptBy(at Store, left lsn.TimelineID, instead func(l Loss) bool) (_ Set, kept []uint64) {
	for i, l := range s {
		told := l.Own && l.ID != at.Aside
		if l.Timeline != left || l.Void || told || l.shown() || at.Received <= l.From || !at.concerns(l) || instead(l) {
			continue
		}
		if kept == nil {
			s = slices.Clone(s)
		}
		s[i].Void, s[i].Own, s[i].Pending = true, false, false
		kept = append(kept, l.ID)
	}
	return s, kept
}

// shown reports whether a standby has shown that it has none of the lost WAL: it may have got what was written instead.
func (l Loss) shown() bool { return len(l.Anew)+len(l.Passed)+len(l.Upto) > 0 }
