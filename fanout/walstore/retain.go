package walstore

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// segKey names a segment.
type segKey struct {
	tli   lsn.TimelineID
	segno uint64
}

// retention is all that decides what may be removed.
type retention struct {
	segSize  lsn.SegSize
	segments []segKey
	readers  []lsn.LSN // where each reader stands
	slots    lsn.LSN   // the oldest position that slots need; Invalid: none
	keepSize int64     // bytes before the received end
	received lsn.LSN
	mark     lsn.LSN // what the mark calls sure: its segment is where recovery begins
}

// keepFrom returns the lowest position that must stay readable.
func (r *retention) keepFrom() lsn.LSN {
	// Recovery walks from the segment before a mark that lies on a boundary.
	keep := r.segSize.Floor(max(r.mark, 1) - 1)
	if r.received > lsn.LSN(r.keepSize) {
		keep = min(keep, r.received-lsn.LSN(r.keepSize))
	} else {
		keep = 0
	}
	if r.slots != lsn.Invalid {
		keep = min(keep, r.slots)
	}
	for _, at := range r.readers {
		keep = min(keep, at)
	}
	return keep
}

// removable lists the segments that nobody needs, oldest first, so that what is left after a crash
// in the middle of their removal is still without a hole.
func (r *retention) removable() []segKey {
	first := r.segSize.Segno(r.keepFrom())
	var out []segKey
	for _, k := range r.segments {
		if k.segno < first {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b segKey) int {
		return cmp.Or(cmp.Compare(a.segno, b.segno), cmp.Compare(a.tli, b.tli))
	})
	return out
}
