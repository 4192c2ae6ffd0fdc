package fanout

import (
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// everything as a position to keep WAL from keeps all of it.
const everything lsn.LSN = 1

// voted knows from where on WAL may be nowhere but in stores that voted for it (ruling R4): what a
// standby that applies it has flushed is safe there, and counts for ever on its timeline.
type voted struct {
	mu       sync.Mutex
	timeline lsn.TimelineID
	flushed  map[string]lsn.LSN // by lower-cased name; no more than were asked for, the highest
}

// report notes what an applying standby has flushed on timeline t. Of more than until names the lowest is
// forgotten: positions of a name only grow, so it comes back when it counts.
func (v *voted) report(name string, t lsn.TimelineID, flush lsn.LSN, until int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case t < v.timeline:
		return
	case t > v.timeline || v.flushed == nil:
		v.timeline, v.flushed = t, map[string]lsn.LSN{}
	}
	name = strings.ToLower(name)
	v.flushed[name] = max(v.flushed[name], flush)
	for len(v.flushed) > max(until, 1) {
		lowest := name
		for n, at := range v.flushed {
			if at < v.flushed[lowest] {
				lowest = n
			}
		}
		delete(v.flushed, lowest)
	}
}

// from is the position beyond which fewer than until standbys of timeline t have flushed.
func (v *voted) from(t lsn.TimelineID, until int) lsn.LSN {
	v.mu.Lock()
	defer v.mu.Unlock()
	if until == 0 {
		return lsn.Invalid
	}
	if v.timeline != t || len(v.flushed) < until {
		return everything
	}
	all := make([]lsn.LSN, 0, len(v.flushed))
	for _, at := range v.flushed {
		all = append(all, at)
	}
	slices.Sort(all)
	return max(all[len(all)-until], everything)
}

// VotedFrom is from where WAL is kept because this store votes; Invalid: it does not.
func (h *Hub) VotedFrom() lsn.LSN {
	return h.voted.from(h.o.Store.Positions().Timeline, h.tuning.Load().RetainUntil)
}

// VotedBytes is how much WAL of whole segments is kept for no other reason than that this store voted for
// it. flushed is the store's.
func (h *Hub) VotedBytes(flushed lsn.LSN) int64 {
	votes := h.VotedFrom()
	_, seg, ok := h.o.Store.Identity()
	if !ok || votes == lsn.Invalid {
		return 0
	}
	other := flushed
	if keep, end := lsn.LSN(h.tuning.Load().Limits.KeepSize), h.o.Store.Positions().Received; end > keep {
		other = min(other, end-keep)
	} else {
		return 0
	}
	if slots := h.o.Slots.Oldest(); slots != lsn.Invalid {
		other = min(other, slots)
	}
	from := seg.Floor(max(votes, h.o.Store.Oldest()))
	return int64(max(seg.Floor(other), from) - from)
}

// retainFrom is from where the store keeps WAL: for slots, and for standbys that have yet to flush what
// stores voted for. The latter is subject to no cap. While a slot is being made, nothing goes.
func (h *Hub) retainFrom() lsn.LSN {
	if h.reserving.Load() > 0 {
		return everything
	}
	slots, votes := h.o.Slots.Oldest(), h.VotedFrom()
	if slots == lsn.Invalid || votes != lsn.Invalid && votes < slots {
		return votes
	}
	return slots
}
