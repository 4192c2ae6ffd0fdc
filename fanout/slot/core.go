package slot

import (
	"cmp"
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Values of Bounds.MaxKeep that are no size.
const (
	// NoLimit is PostgreSQL's -1: slots hold what they need, whatever it takes.
	NoLimit = -1
	// Auto loses the slot furthest behind before the volume has less than its share free (R19).
	Auto = -2
)

// Status is pg_replication_slots.wal_status.
type Status string

// The states of a slot's WAL; facts G. The proxy has no max_wal_size: here it is wal.keep_size, which
// is also what the store keeps without slots.
const (
	Reserved   Status = "reserved"   // within keep_size
	Extended   Status = "extended"   // beyond it, held by the slot
	Unreserved Status = "unreserved" // about to be lost
	Lost       Status = "lost"
)

// Bounds limits the WAL that slots hold. SegSize, Oldest and Received describe the store.
type Bounds struct {
	SegSize          lsn.SegSize
	Oldest, Received lsn.LSN // what the store has
	KeepSize         int64   // kept without slots
	MaxKeep          int64   // bytes, NoLimit or Auto
	// Room is the number of bytes that may still be written to the volume, under Auto. It leaves out the share that
	// stays free and the WAL that is written until the next look.
	Room        int64
	IdleTimeout time.Duration // 0: off
}

// Availability tells how the WAL of one slot stands under Bounds, as PostgreSQL's WALAvailability does, and whether the
// slot is to be lost.
type Availability struct {
	Status Status // "": the slot reserves nothing
	Lose   Cause  // not NotLost: it is to be invalidated now
	// Safe is the number of bytes that may be written before the slot is lost (safe_wal_size), when SafeKnown.
	Safe      int64
	SafeKnown bool
	Keep      bool // it is unkept, and its WAL is here all the same: keep it
}

// Judge decides which slots are lost and how the others stand, in the order of all. It is pure.
func (b Bounds) Judge(all []Info, now time.Time) []Availability {
	vs := make([]Availability, len(all))
	var holding []int
	for i, s := range all {
		switch {
		case s.Lost != NotLost:
			vs[i].Status = Lost
		case s.Restart == lsn.Invalid || b.SegSize == 0 || b.Received == lsn.Invalid:
		case s.Unkept:
			vs[i] = Availability{Status: Unreserved, Keep: b.fits(s)}
		case b.awaited(s):
			vs[i].Status = Extended
			holding = append(holding, i)
		case b.SegSize.Segno(s.Restart) < b.SegSize.Segno(b.Oldest):
			vs[i] = Availability{Status: Unreserved, Lose: WALRemoved}
		case b.idle(s, now):
			vs[i] = Availability{Status: b.within(s), Lose: IdleTimeout}
		default:
			vs[i].Status = b.within(s)
			holding = append(holding, i)
		}
	}
	switch {
	case len(holding) == 0:
	case b.MaxKeep >= 0:
		for _, i := range holding {
			b.capped(all[i], &vs[i])
		}
	case b.MaxKeep == Auto:
		b.furthestFirst(all, holding, vs)
	}
	return vs
}

// awaited reports whether the WAL of an adopted slot that the store never had is still held on the primary. It has the
// limits that others have, and is lost when the primary's slot is gone, which makes it one of ours alone (ruling R41).
func (b Bounds) awaited(s Info) bool {
	return s.Real == Adopted && b.SegSize.Segno(s.Restart) < b.SegSize.Segno(b.Oldest)
}

// fits reports whether the WAL of a slot that another member keeps is here, and within the limits.
func (b Bounds) fits(s Info) bool {
	if b.SegSize.Segno(s.Restart) < b.SegSize.Segno(b.Oldest) {
		return false
	}
	return b.MaxKeep == NoLimit || b.MaxKeep == Auto && b.Room > 0 ||
		b.MaxKeep >= 0 && b.behind(s) <= max(b.segments(b.MaxKeep), b.segments(b.KeepSize))
}

func (b Bounds) idle(s Info, now time.Time) bool {
	return b.IdleTimeout > 0 && !s.Foreign && s.ActivePID == 0 && !s.Inactive.IsZero() &&
		now.Sub(s.Inactive) >= b.IdleTimeout
}

// behind returns by how many segments the slot's restart_lsn lags the segment that is written now.
func (b Bounds) behind(s Info) int64 {
	return int64(b.SegSize.Segno(b.Received)) - int64(b.SegSize.Segno(s.Restart))
}

func (b Bounds) segments(size int64) int64 { return size / int64(b.SegSize) }

func (b Bounds) within(s Info) Status {
	if b.behind(s) > b.segments(b.KeepSize)+1 {
		return Extended
	}
	return Reserved
}

// capped applies a size: whole segments, never less than what is kept anyway, as PostgreSQL counts.
func (b Bounds) capped(s Info, v *Availability) {
	keep := max(b.segments(b.MaxKeep), b.segments(b.KeepSize))
	fail := b.SegSize.Start(b.SegSize.Segno(s.Restart) + uint64(keep) + 1)
	v.Safe, v.SafeKnown = int64(fail)-int64(b.Received), true
	if b.behind(s) > keep {
		v.Status, v.Lose = Unreserved, WALRemoved
	}
}

// furthestFirst loses slots until enough is free: the one furthest behind first, and only while that
// frees anything. WAL that nobody holds counts as free: the store removes it without being told.
func (b Bounds) furthestFirst(all []Info, holding []int, vs []Availability) {
	slices.SortFunc(holding, func(i, j int) int { return cmp.Compare(all[i].Restart, all[j].Restart) })
	floor := b.SegSize.Segno(b.Received - min(b.Received, lsn.LSN(b.KeepSize)))
	held := b.SegSize.Segno(b.Oldest)
	room := b.Room
	for _, i := range holding {
		seg := b.SegSize.Segno(all[i].Restart)
		if seg >= floor {
			break // what this one and all others hold is kept anyway
		}
		room += int64(seg-min(held, seg)) * int64(b.SegSize)
		held = max(held, seg)
		vs[i].Safe, vs[i].SafeKnown = room, true
		if room < 0 {
			vs[i].Status, vs[i].Lose = Unreserved, WALRemoved
		}
	}
}
