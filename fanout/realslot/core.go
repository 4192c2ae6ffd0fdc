package realslot

import (
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Policy is slots.adopted: what becomes of a slot on the primary that was taken over.
type Policy string

// The policies of ruling R16.
const (
	Advance Policy = "advance"
	Drop    Policy = "drop"
	Keep    Policy = "keep"
)

// Real is a physical slot of the primary.
type Real struct {
	Name              string
	ActivePID         int32   // 0: not active
	Restart           lsn.LSN // Invalid: reserves nothing
	Xmin, CatalogXmin copyboth.FullXID
}

// verb is what is done to a slot of the primary.
type verb uint8

const (
	create  verb = iota // note that it is a mirror, then make it
	advance             // move restart_lsn to target, or only show that somebody uses the slot
	clear               // the same, and withdraw its xmin and catalog_xmin
	drop
	foreign // somebody else's slot has the name: only say so
)

type action struct {
	verb verb
	name string
}

// situation is all that decides.
type situation struct {
	own     string // the proxy's own slot on the primary, "" for none
	policy  Policy
	mirror  bool
	settled bool    // feedback is sent
	oldest  lsn.LSN // of the store
	target  lsn.LSN // what the store has flushed
	virtual []slot.Info
	real    map[string]Real
}

func (s *situation) decide() (all []action) {
	for _, v := range s.virtual {
		if v.Temporary || v.Name == s.own {
			continue
		}
		r, exists := s.real[v.Name]
		switch {
		case !exists && (s.mirror || v.Real == slot.Mirrored):
			if s.mirror {
				all = append(all, action{create, v.Name})
			}
		case !exists || r.ActivePID != 0:
		case v.Real == slot.NoReal:
			if s.mirror {
				all = append(all, action{foreign, v.Name})
			}
		case v.Real == slot.Mirrored:
			if r.Restart <= s.target {
				all = append(all, action{advance, v.Name})
			}
		case s.covered(v):
			all = append(all, s.adopted(r)...)
		}
	}
	return all
}

// adopted is for a slot whose needs this proxy serves and holds by itself.
func (s *situation) adopted(r Real) []action {
	switch {
	case s.policy == Drop:
		return []action{{drop, r.Name}}
	case s.policy != Advance || r.Restart > s.target:
		return nil
	case r.Xmin != 0 || r.CatalogXmin != 0:
		return []action{{clear, r.Name}}
	}
	return []action{{advance, r.Name}}
}

// covered: the WAL from restart_lsn on is in the store, and the primary holds the slot's xmin for this
// proxy (invariant 3).
func (s *situation) covered(v slot.Info) bool {
	if s.target == lsn.Invalid || v.Restart != lsn.Invalid && v.Restart < s.oldest || v.Restart > s.target {
		return false
	}
	if !s.settled {
		return false
	}
	if s.own == "" {
		return true // without a slot there is only the walsender's word, which was given
	}
	own := s.real[s.own]
	return holds(own.Xmin, v.Xmin) && holds(own.CatalogXmin, v.CatalogXmin)
}

// holds: what is held on the primary is not newer than what is needed.
func holds(held, needed copyboth.FullXID) bool { return needed == 0 || held != 0 && held <= needed }

// full gives a 32-bit xmin its epoch: it is not newer than next and less than 2^31 older.
func full(xid uint32, next copyboth.FullXID) copyboth.FullXID {
	if xid == 0 {
		return 0
	}
	return next - copyboth.FullXID(uint32(next)-xid)
}
