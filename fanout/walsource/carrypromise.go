package walsource

import (
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// carriedPromise holds the promise before a stream begins, by which the store goes over to another timeline or begins
// anew.
//
// A store that was emptied may begin below forks, where its slot is. Its promise stays one of the timeline that it had
// been on until it is there again: a position of that is none of an older timeline.
//
//	timeline 1 ────┬──────────── the store begins anew
//	timeline 2     └────┬─────── Promise.Beyond
//	timeline 3          └──●──── promised: now it is one of what is stored
type carriedPromise struct {
	noted  walstore.Promise
	before lsn.TimelineID // of the store, 0: it was empty
	to     startPoint
	srv    server
	writes bool // srv is the primary that writes its timeline
}

// carried returns the promise as it is before a stream from p on begins.
func (r *Supply) carried(p startPoint, srv server) carriedPromise {
	return carriedPromise{
		noted: r.o.Store.Promised(), before: r.o.Store.Positions().Timeline, to: p, srv: srv,
		writes: r.member == "" && !srv.sendsOthers(),
	}
}

// later reports whether the promise is about a later timeline than the one on which the stream begins.
func (c carriedPromise) later() bool { return c.noted.Timeline > c.to.timeline }

// most returns the end of what can have been reported of timeline t. The server has all that was: it was judged.
func (c carriedPromise) most(t lsn.TimelineID) lsn.LSN {
	if fork, _, older := c.srv.history.SwitchPoint(t); older {
		return min(fork, c.srv.xlogpos)
	}
	return c.srv.xlogpos
}

// boundLater gives a promise an end that has none, while the store is still empty: nothing else is noted of the
// timeline that it is about.
func (r *Supply) boundLater(c carriedPromise) error {
	if c.before != 0 || !c.later() || !c.writes || r.rcv.Promised() != walstore.PromisedAll ||
		!c.srv.history.Contains(c.noted.Timeline) {
		return nil
	}
	return r.rcv.GiveUp(c.most(c.noted.Timeline))
}

// leavePromise lowers the promise to the fork at which the store has left its timeline. One of a later timeline is not
// about what was left, and becomes one of what is stored where the store has got there.
func (r *Supply) leavePromise(c carriedPromise) error {
	fork, _, left := c.srv.history.SwitchPoint(c.before)
	switch {
	case !left || c.before >= c.to.timeline, c.later():
		return nil
	case c.noted.Timeline > c.before:
		return r.rcv.RenewPromise()
	}
	return r.rcv.GiveUp(fork)
}

// boundPromise gives a promise an end that has none, as the store was emptied amid reports. It begins anew from a
// primary that was judged, and so has all that was reported. Release v0.1.0 did not note of which timeline it promised
// a position: it is lowered to what the stored one has.
func (r *Supply) boundPromise(c carriedPromise) error {
	anew := c.before == 0 || c.noted.Timeline > c.before
	if !anew || c.later() {
		return nil
	}
	all := r.rcv.Promised() == walstore.PromisedAll
	if all && c.before == 0 {
		r.rcv.OutdatePromise() // what is reported next may be of another timeline than the one that is noted
	}
	if c.writes && (all || c.noted.Timeline == 0) {
		return r.rcv.GiveUp(c.most(c.to.timeline))
	}
	return nil
}
