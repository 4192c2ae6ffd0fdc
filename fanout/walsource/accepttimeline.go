package walsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// accepted reports whether the operator wants a server followed although it lacks e; never for nil.
func (r *Supply) accepted(e *LackError) bool {
	return e != nil && r.o.Accept.Accepted(e)
}

// refusedFor adds the lack for which err refuses a server to those of the attempt. It does nothing where err names
// none, or one that is there.
func (r *Supply) refusedFor(err error) {
	var e *LackError
	if errors.As(err, &e) && !slices.ContainsFunc(r.unfit, func(was *LackError) bool { return *was == *e }) {
		r.unfit = append(r.unfit, e)
	}
}

// waits notes on disk that servers are refused for all while timeline t is followed, so that accept-timeline can name
// each. t may be 0 and all nil: no timeline, no refusal. Nothing is noted when the store is to be set aside at the next
// start.
func (r *Supply) waits(t lsn.TimelineID, all []*LackError) {
	if r.aside.Load() == 0 {
		r.o.Accept.Waits(t, all)
	}
}

// endWord removes the operator's word and the noted refusal, because timeline t is streamed from a server that lacks
// nothing. A refusal of another server that is still shown is noted again. What r.obeyed holds is left alone: follows
// uses it when its first WAL comes.
func (r *Supply) endWord(t lsn.TimelineID) {
	if r.obeyed != nil {
		return
	}
	if r.waits(t, nil); r.unfit != nil {
		r.waits(t, r.unfit) // it is still shown
	}
}

// judge refuses srv when it lacks WAL that was known before it was asked where it is, unless the operator has
// accepted that (rulings R3, R32).
func (r *Supply) judge(have walstore.Positions, srv server) error {
	err, e := srv.known.judge(have, srv), srv.known.lack(srv)
	if err == nil || !r.accepted(e) {
		return err
	}
	r.obeyed, r.heard, r.mayHave = e, srv.known.heardOf(e, srv), e.mayHave(srv)
	if lost := srv.known.differed(srv); lost != nil && !lost.Lost {
		r.lostBefore = lost.upTo(e)
		r.lostBefore.From = r.lostSince
	}
	if e.Lost && have.Timeline == srv.timeline && have.Complete > e.From {
		return r.setAside(e, srv)
	}
	return nil
}

// mayHave returns the position up to which srv may have the WAL of e.Of, Invalid: it has none of it. Where nobody knows
// since where it lacks e that is where srv is: it has that much, whether the same or not.
func (e *LackError) mayHave(srv server) lsn.LSN {
	fork, _, ancestor := srv.history.SwitchPoint(e.Of)
	switch {
	case e.From != lsn.Invalid:
		return e.From
	case e.Lost:
		return srv.xlogpos
	case ancestor:
		return min(fork, srv.xlogpos)
	}
	return lsn.Invalid
}

// givenUp reports whether the operator has given up what a member said at p, and has gone on saying since.
func (r *Supply) givenUp(p lsn.Point) bool { return r.o.Accept.GivenUp(p) }

// heardOf returns the positions that members had named of the WAL in e, which srv lacks. What srv may have goes on
// counting. A member that names a loss names its end, which srv may have passed.
func (k knowledge) heardOf(e *LackError, srv server) (heard []lsn.LSN) {
	for i, x := range k.all {
		beyond := x.LSN > e.mayHave(srv) || x.Lost && x.LSN > e.From
		said, givenUp := k.said[i].LSN, x.Timeline == e.Of && beyond && x.LSN <= e.To
		if givenUp && said != lsn.Invalid && !slices.Contains(heard, said) {
			heard = append(heard, said)
		}
	}
	return heard
}

// setAside obeys the operator where the store has WAL that is given up: at the next start. Until then it refuses srv,
// which lacks e.
func (r *Supply) setAside(e *LackError, srv server) error {
	aside := &Aside{End: r.o.Store.Positions().Received, Has: e.mayHave(srv)}
	if used := r.use(e, srv.known.heardOf(e, srv), aside); used != nil {
		return used
	}
	r.aside.Store(uint32(e.Of))
	r.log.Error("WAL is given up that this proxy's own store has: restart the proxy, it then sets its WAL aside",
		"timeline", e.Timeline, "from_lsn", e.From, "to_lsn", e.To)
	return e.refusal(words{given: true})
}

// keepAside takes an operator's word back that was used and whose WAL is not set aside yet: a server is followed that
// has that WAL.
func (r *Supply) keepAside() error {
	if r.aside.Load() == 0 {
		return nil
	}
	if err := r.o.Keep(); err != nil {
		return err
	}
	r.aside.Store(0)
	r.log.Warn("WAL that was given up is kept: the server that is followed has it, and the next start sets nothing " +
		"aside")
	return nil
}

// keep calls keepAside where timeline t comes from srv, which has the stored WAL. Of the timeline of that WAL only the
// server that writes it shows that. A standby or a proxy may have the lost WAL too, and follow the primary that lost
// it. Where srv is on a later one the store is about to leave that timeline.
func (r *Supply) keep(srv server, t lsn.TimelineID) {
	if uint32(t) == r.aside.Load() && (srv.sendsOthers() || r.member != "" || srv.timeline != t) {
		return
	}
	if err := r.keepAside(); err != nil {
		r.log.Error("cannot note that WAL is kept which was given up: a restart may set it aside", "err", err)
	}
}

// diverged explains err, by which a server sent other WAL from p on than the stored one. If the server writes this
// timeline itself, it has come back without WAL that is stored, and has gone on (ruling R32).
func (r *Supply) diverged(ctx context.Context, err error, at upstream.Endpoint, srv server, p startPoint) error {
	var d *walstore.DivergedError
	have := r.o.Store.Positions()
	if !errors.As(err, &d) || srv.inRecovery() || srv.virtual || p.timeline != srv.timeline || !showsLoss(have, d.LSN) {
		return err
	}
	e := &LackError{
		System: srv.system, Timeline: srv.timeline, To: have.Complete, Of: srv.timeline, Lost: true,
	}
	r.part(ctx, nil, at, &srv, e)
	srv.known.since(srv.endpoint, e)
	refusal := e.refusal(r.knowledge().words(e))
	if r.aside.Load() == 0 && r.accepted(e) {
		refusal = r.setAside(e, srv)
	}
	return fmt.Errorf("%w: %w", err, refusal)
}

// tellLost makes durable who may have WAL that the server of history h had lost before it was promoted, if the operator
// has accepted that. It does so while the store still has a name for that WAL, by its debt or by being empty.
func (r *Supply) tellLost(h lsn.History) error {
	e := r.obeyed
	if e == nil || e.Timeline != h.Timeline || r.lostBefore == nil {
		return nil
	}
	err := r.o.GiveUp(r.lostBefore, false)
	if err == nil {
		r.lostBefore = nil
	}
	return err
}

// follows notes that the store takes WAL in history h: what the operator has accepted for that is given up now. before
// is the store's timeline until then, 0: it was empty.
func (r *Supply) follows(h lsn.History, before lsn.TimelineID) error {
	e := r.obeyed
	if e == nil || e.Timeline != h.Timeline {
		return nil
	}
	if err := r.rcv.GiveUp(r.kept(e, before)); err != nil {
		return err // first: after a crash here the word still holds
	}
	if err := r.o.Store.GiveUpRepair(); err != nil {
		return err // before the promise, which goes on naming what is owed
	}
	if err := r.rcv.RenewPromise(); err != nil {
		return err
	}
	if err := r.use(e, r.heard, nil); err != nil {
		return err
	}
	r.obeyed = nil
	r.dropLost(e)
	r.log.Warn("WAL is given up, as the operator has accepted", "timeline", h.Timeline, "of_timeline",
		e.Of, "from_lsn", e.From, "to_lsn", e.To)
	return nil
}

// kept returns the position up to which WAL stays promised when e is given up. Where nobody knows since where the
// server lacks WAL, that is what the store had and goes on to have. Of an emptied store it is the highest position up
// to which the server may have it.
func (r *Supply) kept(e *LackError, before lsn.TimelineID) lsn.LSN {
	if e.From == lsn.Invalid && !e.Lost && before != 0 {
		return r.o.Store.Positions().Received // StartStream has left behind what lies beyond the fork
	}
	return r.mayHave
}

// use carries out accept-timeline: it makes durable that the WAL in e is given up, and that the operator's word has
// been used. If a primary has lost that WAL, GiveUp first makes durable which standbys and members may still have it.
// For heard and aside see [Acceptance].
func (r *Supply) use(e *LackError, heard []lsn.LSN, aside *Aside) error {
	if e.Lost {
		if err := r.o.GiveUp(e, aside != nil); err != nil {
			return err
		}
	}
	return r.o.Accept.Use(e, heard, aside)
}

// resumption finds the record that is to be sent again.
func (r *Supply) resumption(have walstore.Positions) resumption {
	again := resumption{lacking: r.lacking}
	if have.Timeline == 0 || have.Complete <= have.Oldest {
		return again
	}
	if before, err := r.o.Store.LastComplete(have.Timeline, have.Complete-1); err == nil {
		again.record = before
	}
	return again
}
