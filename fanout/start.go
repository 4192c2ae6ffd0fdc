package fanout

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// unmakeTimeout bounds the drop of a slot that nobody needs: it waits for the disk, and for members of a cluster.
const unmakeTimeout = 10 * time.Second

// StartRequest is a physical START_REPLICATION.
type StartRequest struct {
	Slot     string // "": none
	At       lsn.LSN
	Timeline lsn.TimelineID // 0: the current one
	// Known is a position up to which the primary surely has WAL, Invalid when nothing is known. A start up to it is
	// waited for, however far this store is behind.
	Known lsn.LSN
	// StoreOnly: nothing that the store lacks is fetched for it. So that two proxies do not ask each other
	// for what neither has.
	StoreOnly bool
	// Whole: it gets all WAL, whatever a rule covers: a member of the cluster, or a program that has to come to an end.
	Whole bool
	// Version is the server_version_num that the standby was shown; 0 counts as older than 18.
	Version grammar.Version
}

// refusesLost is the first version that does not stream from a physical slot that is lost. Older ones
// do, as long as the WAL is there (facts G).
const refusesLost grammar.Version = 180000

// StartReplication serves one START_REPLICATION to its end: it checks slot and timeline, writes
// CopyBothResponse, streams, reads the standby's replies and returns when COPY is over on both sides.
// It blocks as long as the standby stays. What it returns:
//
//   - (next, nil): write the row of next (next_tli int8, next_tli_startpos text), CommandComplete
//     START_STREAMING, CommandComplete START_REPLICATION, ReadyForQuery. COPY may not have begun.
//   - (nil, nil): the standby ended COPY: the same without the row.
//   - (nil, err) with ErrSessionOver inside: write nothing and close the connection.
//   - (nil, err) otherwise: an ErrorResponse, before or after CopyBothResponse, then ReadyForQuery
//     unless it is FATAL. CopyData and CopyDone that still arrive are to be ignored.
//
// ctx: see [walsender.Sender.Run]; cancel it with cause [ErrDrain] to end the stream in order. Stop
// the upstream first: what is received after the drain began is not sent.
func (h *Hub) StartReplication(ctx context.Context, r StartRequest, who SessionInfo, c Conn,
) (_ *NextTimeline, failed error) {
	if err := h.o.Losses.Known(); err != nil {
		return nil, err
	}
	id, ok := h.o.Store.Identity()
	if !ok || h.o.Store.Served().End == lsn.Invalid {
		return nil, errNoStore()
	}
	guard, made, err := h.acquireSlot(ctx, r, who)
	if err != nil {
		return nil, err
	}
	var sender *walsender.Sender
	defer func() {
		if made && unserved(failed, sender) {
			h.unmake(ctx, r.Slot, who.PID)
		}
	}()
	if guard != nil {
		defer guard.Release()
		guard.UsedBy(userOf(who, r.Timeline))
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		guard.OnLost(func() {
			cancel(pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command"))
		})
		if cause := guard.Lost(); cause != slot.NotLost && r.Version >= refusesLost {
			return nil, slot.ErrLost(r.Slot, cause)
		}
	}
	history := h.o.Store.History()
	plan, err := walsender.Admit(history, r.Timeline, r.At)
	if fork, to, left := history.SwitchPoint(r.Timeline); err != nil && left && !who.Member {
		h.strand(who.ApplicationName, r.Timeline, r.At, NextTimeline{Timeline: to, Start: fork})
	}
	if err != nil {
		return nil, err
	}
	plan.Known = r.Known
	if plan.Nothing() {
		return &plan.Next, nil
	}
	session := &session{who: who, slot: r.Slot, whole: r.Whole}
	o := walsender.Options{
		Conn: c, Session: who, Store: h.o.Store, Open: h.open(!r.StoreOnly), Plan: plan, SegSize: id.SegSize,
		Feedback: func(f Feedback) { h.heardFeedback(who.ApplicationName, f) }, Sane: h.saneFeedback,
		DrainTimeout: h.o.DrainTimeout, Covered: h.coveredOn,
	}
	unasked := func() {}
	began := false // read when the session is over
	o.Began = func() {
		began = true
		h.sayBegins(session, plan)
	}
	if h.o.Voter != nil && !who.Member { // which votes by its own store (ruling R21)
		session.voter = h.o.Voter(who.ApplicationName)
		o.Voter, unasked = h.votes(ctx, who, session.voter)
	}
	if guard != nil {
		o.Slot = h.hold(guard, r.Slot)
	}
	// A member is compared by the bytes of its store.
	instead := false // of lost WAL it is served what was written instead; read when the session is over
	if l := h.o.Losses; !r.StoreOnly && l.Asks(who, r.Slot) {
		o.Judge = func(first lsn.Progress) (err error) {
			instead, err = l.Judge(who, r.Slot, plan.Timeline, first)
			return err
		}
	}
	session.sender = walsender.New(o)
	sender = session.sender
	h.count(session)
	attached := h.registry.attach(session)
	defer h.detach(attached)
	defer unasked()
	h.beganHere(session)
	if o.Judge == nil && !r.StoreOnly && h.o.Losses.Asks(who, r.Slot) { // given up meanwhile
		sender.End(pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command"))
	}
	h.bind(session)
	next, err := session.sender.Run(ctx)
	h.streamed(session)
	if began {
		h.sayEnds(session, next, err)
	}
	if st := sender.Status(); instead {
		h.o.Losses.Left(who, r.Slot, st.Timeline, min(max(st.Write, st.Flush, st.Apply), st.Sent))
	}
	if !who.Member { // which sets its own WAL aside
		h.ended(who.ApplicationName, next, sender.Status())
	}
	if errors.Is(err, walsender.ErrLeft) {
		h.log.Warn("ended a session that its standby has left, as it seems: a younger one of its name began, or wants "+
			"its slot, and this one said nothing", "application_name", who.ApplicationName,
			"client_addr", who.ClientAddr, "last_reply", sender.Status().LastReply.UTC(), "slot", r.Slot)
	}
	return next, err
}

// unserved reports whether a START was refused: it ended with an error before its standby got any WAL. A session that
// is over (walsender.ErrSessionOver) was not refused, though it may have got no WAL: false.
func unserved(err error, s *walsender.Sender) bool {
	return err != nil && !errors.Is(err, walsender.ErrSessionOver) && (s == nil || s.Status().Bytes == 0)
}

// unmake drops the slot that auto_create made for a START that was refused. Its standby, if it is one, asks for another
// position or another slot, and nobody would use this one (ruling R41).
func (h *Hub) unmake(ctx context.Context, name string, pid int32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmakeTimeout)
	defer cancel()
	if err := h.DropSlot(ctx, name, false, pid); err != nil {
		h.log.Warn("cannot drop the slot that was made for a start that was refused", "slot", name, "err", err)
	}
}

// hostOf returns an address without its port; "" for a unix socket.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return host
}

// userOf returns a session as a slot's user, on the timeline that it asked for.
func userOf(who SessionInfo, timeline lsn.TimelineID) slot.User {
	return slot.User{Name: who.ApplicationName, Host: hostOf(who.ClientAddr), Timeline: timeline}
}

// detach ends the registration and what hung on it.
func (h *Hub) detach(g *registration) {
	if g.s.voter != nil {
		g.s.voter.Release() // first: see EndSessions
	}
	g.Release()
	h.unbind(g.s)
	h.mergeFeedback()
}

// session is one attached standby, a row of the registry. Immutable.
type session struct {
	who    SessionInfo
	slot   string
	whole  bool  // see [StartRequest]
	voter  Voter // nil: nobody counts
	sender *walsender.Sender
}
