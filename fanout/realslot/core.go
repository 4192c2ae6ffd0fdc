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

// Mirror is slots.mirror: what for slots of the same names are kept on the primary (ruling R18).
type Mirror string

// The kinds of mirrors.
const (
	NoMirror Mirror = "false"
	Presence Mirror = "presence" // they exist, follow the store and hold nothing back
)

// Real is a slot of the primary.
type Real struct {
	Name              string
	Logical           bool
	ActivePID         int32   // 0: not active
	Restart           lsn.LSN // Invalid: reserves nothing
	Lost              bool    // the primary has invalidated it
	Xmin, CatalogXmin copyboth.FullXID
	ProxySlot         bool // it is the proxy's own, and nobody else's to use; the rest may not be known
}

// verb names an action on a slot of the primary.
type verb uint8

const (
	create  verb = iota // note that it is a mirror, then make it
	advance             // move restart_lsn to target, or only show that somebody uses the slot
	clear               // the same, and withdraw its xmin and catalog_xmin
	drop
	forget     // the primary's slot of one that was taken over is gone: it holds nothing for us
	foreign    // somebody else's slot has the name: only say so
	createShut // as create, without a position: nobody passes before it gets one
	place      // put restart_lsn where it belongs, for the first time or backward
	follow     // advance the mirror of another member's slot: that member may be dead
	none
)

type action struct {
	verb verb
	name string
}

// situation holds all by which it is decided what is to be done about a slot.
type situation struct {
	own     string // the proxy's own slot on the primary, "" for none
	apart   bool   // this proxy's slot is held by SQL and does not bear what slots need
	policy  Policy
	mirror  Mirror
	settled bool    // feedback is sent
	oldest  lsn.LSN // of the store
	target  lsn.LSN // what the store has flushed
	virtual []slot.Info
	real    map[string]Real
}

// step is an action and the restart_lsn that it is to bring about.
type step struct {
	action
	at lsn.LSN
}

func (s *situation) decide() (all []step) {
	for _, v := range s.virtual {
		if v.Temporary || v.Name == s.own {
			continue
		}
		r, exists := s.real[v.Name]
		todo := none
		switch {
		case !v.Foreign:
			todo = s.verb(v, r, exists)
		case exists && s.follows(v, r):
			todo = follow
		}
		if todo != none {
			all = append(all, step{action{todo, v.Name}, s.target})
		}
	}
	return all
}

func (s *situation) verb(v slot.Info, r Real, exists bool) verb {
	switch {
	case exists && s.given(v, r):
		return drop
	case !exists && s.mirror == Presence && v.Lost == slot.NotLost:
		return create
	case !exists && v.Real == slot.Adopted && v.Restart != lsn.Invalid && v.Restart < s.oldest:
		return forget // nobody keeps that WAL; else it may be made again, as on a new primary, and is moved there
	case !exists || r.ActivePID != 0:
	case (v.Real == slot.NoReal || r.Logical) && s.mirror != NoMirror:
		return foreign
	case v.Real == slot.NoReal || r.Logical:
	case v.Real == slot.Mirrored:
		return s.mirrored(r)
	case s.covered(v):
		return s.adopted(r)
	}
	return none
}

// given reports whether the primary's slot is there for a slot that was taken over or is mirrored, and is lost here.
// Then nobody serves its needs any more. A slot of that name that is made anew on the primary is another one.
func (s *situation) given(v slot.Info, r Real) bool {
	ours := v.Real == slot.Mirrored || v.Real == slot.Adopted && s.policy != Keep
	return ours && v.Lost != slot.NotLost && r.ActivePID == 0 && !r.Logical
}

// follows reports whether a mirror is to be moved, also one of another member's slot: else it would hold WAL back for
// as long as that member is dead. Any member may move a mirror that only has to be there. It is made and dropped by the
// slot's owner, who knows of drops.
func (s *situation) follows(v slot.Info, r Real) bool {
	return s.mirror == Presence && v.Real == slot.Mirrored && v.Lost == slot.NotLost && !r.Logical && !r.Lost &&
		r.ActivePID == 0 && r.Restart != lsn.Invalid && r.Restart <= s.target
}

func (s *situation) mirrored(r Real) verb {
	switch {
	case r.Lost: // it is made anew at the next look
		return drop
	case s.target == lsn.Invalid:
	case r.Restart == lsn.Invalid:
		return place
	case r.Restart <= s.target:
		return advance
	}
	return none
}

// adopted decides about a slot whose needs this proxy serves and holds by itself.
func (s *situation) adopted(r Real) verb {
	switch {
	case s.policy == Drop:
		return drop
	case s.policy != Advance || s.target == lsn.Invalid || r.Restart > s.target:
	case r.Xmin != 0 || r.CatalogXmin != 0:
		return clear
	default:
		return advance
	}
	return none
}

// covered reports whether the WAL from restart_lsn on is in the store, and the primary holds the slot's xmin for this
// proxy (invariant 3).
func (s *situation) covered(v slot.Info) bool {
	if s.target == lsn.Invalid || v.Restart != lsn.Invalid && v.Restart < s.oldest || v.Restart > s.target {
		return false
	}
	if !s.settled {
		return false
	}
	if s.own == "" || s.apart {
		return true // without a slot there is only the walsender's word, which was given
	}
	own := s.real[s.own]
	return holds(own.Xmin, v.Xmin) && holds(own.CatalogXmin, v.CatalogXmin)
}

// holds reports whether the transaction ID that is held on the primary is not newer than the needed one. A needed of 0
// always is held, and a held of 0 holds nothing else.
func holds(held, needed copyboth.FullXID) bool { return needed == 0 || held != 0 && held <= needed }

// full gives a 32-bit xmin its epoch: it is not newer than next and less than 2^31 older. 0 stays 0.
func full(xid uint32, next copyboth.FullXID) copyboth.FullXID {
	if xid == 0 {
		return 0
	}
	return next - copyboth.FullXID(uint32(next)-xid)
}

// shownSlot is the proxy's own slot as the primary shows it.
type shownSlot struct {
	Real
	exists    bool
	temporary bool    // somebody's session made one of our name: it can't be dropped, and goes with that session
	horizon   Horizon // that it bears
	end       lsn.LSN // of the server's WAL

	others     []Horizon // of the other physical slots there
	walsenders int       // that are free there
}

// target returns the position to which the slot is to be moved: the end of the durable WAL of the store. A forsaken
// slot goes to the primary's end, and holds back nothing of the WAL there.
func (s shownSlot) target(flushed lsn.LSN, forsaken bool) lsn.LSN {
	if forsaken {
		return max(flushed, s.end)
	}
	return flushed
}

func (s shownSlot) reserves() bool { return s.exists && !s.Lost && s.Restart != lsn.Invalid }

// ours reports whether the slot can be what we made: nobody else has made one of its name in its place.
func (s shownSlot) ours() bool { return !s.exists || !s.Logical && !s.temporary }

// decide returns the action that this proxy's slot needs: to be made anew, to be put where the store is, to follow
// target, or to be touched. create stands for making it anew, foreign for one that is somebody else's.
func (s shownSlot) decide(target lsn.LSN) verb {
	switch {
	case !s.ours():
		return foreign
	case !s.exists || s.Lost:
		return create
	case s.ActivePID != 0: // by an older session of this proxy, for as long as the primary believes in it
		return none
	case target != lsn.Invalid && (s.Restart == lsn.Invalid || s.Restart > target):
		return place // somebody made it, or it was made where the primary's last checkpoint is
	case s.Restart == lsn.Invalid:
		return create
	}
	return advance // if only to show that somebody uses it
}
