package fanout

import (
	"github.com/replproxy/replproxy/grammar/lsn"
)

// everything as a position to keep WAL from keeps all of it.
const everything lsn.LSN = 1

// VotedFrom returns the position from which WAL is kept because this store votes; Invalid: it does not.
func (h *Hub) VotedFrom() lsn.LSN {
	if h.o.VotedFrom == nil {
		return lsn.Invalid
	}
	return h.o.VotedFrom(h.o.Store.Served().Timeline)
}

// VotedBytes returns how much WAL of whole segments is kept for no other reason than that this store voted for it.
// flushed is the store's.
func (h *Hub) VotedBytes(flushed lsn.LSN) int64 {
	votes := h.VotedFrom()
	id, ok := h.o.Store.Identity()
	if !ok || votes == lsn.Invalid {
		return 0
	}
	other := flushed
	if keep, end := lsn.LSN(h.tuning.Load().Limits.KeepSize), h.o.Store.Served().End; end > keep {
		other = min(other, end-keep)
	} else {
		return 0
	}
	if slots := h.o.Slots.Oldest(); slots != lsn.Invalid {
		other = min(other, slots)
	}
	seg := id.SegSize
	from := seg.Floor(max(votes, h.o.Store.Oldest()))
	return int64(max(seg.Floor(other), from) - from)
}

// retainFrom returns the position from which the store keeps WAL: for slots, and for standbys that have yet to flush
// what stores voted for. The latter is subject to no cap. While a slot is being made, nothing goes.
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
