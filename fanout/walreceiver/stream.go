package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ErrTimelineEnded: the server ended the COPY, a newer timeline follows.
var ErrTimelineEnded = errors.New("end of timeline")

// Server holds the facts that the server of a connection told, as far as a stream depends on them.
type Server struct {
	System   lsn.SystemID
	Timeline lsn.TimelineID
	History  lsn.History // of Timeline; the zero value before it is known
	Version  int         // server_version_num
	Settings map[string]string
	Recovery bool    // no commit waits there
	Virtual  bool    // it is a proxy
	End      lsn.LSN // of its WAL, when it was asked before the stream
	Slot     SlotStart
}

// SlotStart holds the restart_lsn of a slot on the server, and the timeline of that position. The zero value: there is
// no slot, it reserves no WAL, or the server did not say. PostgreSQL 14 does not: it has no READ_REPLICATION_SLOT.
type SlotStart struct {
	Restart  lsn.LSN
	Timeline lsn.TimelineID
}

// StartPoint is a position on a timeline, to ask START_REPLICATION for.
type StartPoint struct {
	Timeline lsn.TimelineID
	At       lsn.LSN
}

// Stream is the state of one connection over which WAL comes, timeline after timeline. One goroutine calls its
// methods, but for [Stream.HeardAt].
type Stream struct {
	r      *Receiver
	conn   Conn
	srv    Server
	member bool // it leads to a member of the cluster

	uneasy   time.Duration               // see Link
	ruled    bool                        // there was a rule when the connection began
	apart    bool                        // the slot is held by SQL, the stream does without it
	foreign  bool                        // somebody else's slot has its name, the stream does without it
	ruleGate grant                       // of slots.rule_gate
	borne    copyboth.HotStandbyFeedback // by the stream's slot when the connection began; see bears

	live *live     // nil before the first START_REPLICATION
	rp   *reporter // nil before it was answered
}

// Link describes the connection of a stream.
type Link struct {
	Member bool          // it leads to a member of the cluster: no slot is used
	Uneasy time.Duration // silence after which a reply is requested; 0: half of the timeout
}

// Attach returns a stream on conn, a connection to srv, that is to be closed.
func (r *Receiver) Attach(conn Conn, srv Server, l Link) *Stream {
	st := &Stream{r: r, conn: conn, srv: srv, member: l.Member, uneasy: l.Uneasy, ruled: r.Ruled(), apart: l.Member}
	if st.member {
		r.Update(func(s *Status) { s.SlotState, s.SlotLSN, s.SlotApart = SlotUnknown, lsn.Invalid, true })
	}
	return st
}

// Close releases all that the stream holds, but for the connection.
func (st *Stream) Close() {
	st.r.o.Store.ReportFlushed()
	if err := st.r.promise.narrow(); err != nil {
		st.r.log.Warn("the next start will take all stored WAL for acknowledged", "err", err)
	}
	if st.apart && !st.member {
		st.r.o.HeldSlot.Release()
	}
}

// Know takes over the server's present identity and settings. It reports whether slots.rule_gate can be used that could
// not before.
func (st *Stream) Know(srv Server) (ruleGateFits bool) {
	fitted := st.ruleGateFits()
	st.srv = srv
	return !fitted && st.ruleGateFits()
}

// HeardAt returns when the server's last byte came. Any goroutine may call it.
func (st *Stream) HeardAt() time.Time { return st.live.heardAt() }

// Said returns the highest position that was reported on this connection.
func (st *Stream) Said() lsn.LSN { return st.rp.core.said() }

// Carry prepares for the next timeline, which begins at fork on the present one. Call it between two copies.
func (st *Stream) Carry(fork lsn.LSN) { st.rp.carry(fork) }

// Flows publishes that WAL of timeline t flows, so that Status reads the stream's positions.
func (st *Stream) Flows(t lsn.TimelineID) {
	st.r.setLive(st.live)
	st.r.setState(Streaming)
	st.r.Update(func(s *Status) { s.Timeline = t })
}

// Apart reports whether the slot is held by SQL, so that the stream does without it.
func (st *Stream) Apart() bool { return st.apart }

// RuleGate returns the name of the slot of slots.rule_gate that the stream uses; "": none.
func (st *Stream) RuleGate() string { return st.ruleGate.name }

// Copy describes one COPY.
type Copy struct {
	From   StartPoint
	Writes bool // the server writes the timeline itself, so that commits wait there
	// Begin is called before the first WAL of a timeline that the store is not on; nil: it is.
	Begin func() error
	// Same is called once all stored WAL that is sent again, up to Stored, was found to be the same.
	Same   func()
	Stored lsn.LSN
	// Ends reports whether the sender will have no WAL beyond at. Then WAL that is held back is stored, which is no
	// proof of what is owed. nil: nobody knows.
	Ends func(at lsn.LSN) bool
	// Beside run as long as the COPY does.
	Beside []func(ctx context.Context)
}

// Copy receives WAL and reports on it until the COPY ends that Start has begun. After [ErrTimelineEnded] the session is
// in COPY mode no more, and next says what follows. After any other error it is of no use.
func (st *Stream) Copy(ctx context.Context, c Copy) (next StartPoint, err error) {
	r, rp := st.r, st.rp
	r.mirrors.begin(place{st.conn.Endpoint(), st.srv.System, c.From.Timeline}, c.Writes, time.Now())
	in := &inbound{
		conn: st.conn, store: r.o.Store, live: st.live, begin: c.Begin, expected: c.From.At,
		same: c.Same, stored: c.Stored, ends: c.Ends,
	}
	in.compared()
	in.reported = func() { r.SetParameters(st.conn.Parameters()) }
	sctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unblocked := make(chan struct{})
	keepReading := context.AfterFunc(sctx, func() {
		st.conn.Interrupt()
		close(unblocked)
	})
	reporting := make(chan error, 1)
	r.reporting.Store(rp)
	go func() {
		err := rp.run(sctx)
		cancel(err)
		reporting <- err
	}()
	var beside sync.WaitGroup
	for _, look := range c.Beside {
		beside.Go(func() { look(sctx) })
	}
	looking := make(chan error, 1)
	go func() {
		var err error
		if !st.member { // a proxy that stops waits for nobody for long
			if err = st.lookForStop(sctx); err != nil {
				cancel(err)
			}
		}
		looking <- err
	}()
	for err == nil {
		err = in.step(sctx)
	}
	ended := errors.Is(err, ErrTimelineEnded)
	if !keepReading() {
		<-unblocked // or its deadline would strike later
		ended = false
	}
	cancel(err)
	reportErr, stops := <-reporting, <-looking
	beside.Wait()
	if reportErr != nil {
		return next, reportErr // the read error, if there is one, is its consequence
	}
	if ctx.Err() != nil {
		st.leave()
		return next, context.Cause(ctx)
	}
	if stops != nil {
		st.leave()
		return next, stops
	}
	if !ended {
		return next, StreamError(err)
	}
	return st.endTimeline(ctx)
}

// Idle ends the publication of the stream's positions, whose last values stay.
func (st *Stream) Idle() { st.r.setLive(nil) }

// endTimeline answers the server's CopyDone and reads which timeline follows where. It is an error if WAL came only up
// to a lower position. It blocks for commandTimeout at most.
func (st *Stream) endTimeline(ctx context.Context) (StartPoint, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	next, err := st.conn.End(ctx, st.rp.writeFor)
	if err != nil {
		return StartPoint{}, fmt.Errorf("end streaming: %w", err)
	}
	if err := st.r.o.Store.EndHold(); err != nil {
		return StartPoint{}, fmt.Errorf("take the end of a timeline: %w", err)
	}
	have := st.r.o.Store.Positions()
	if have.Received > next.At {
		st.r.o.Store.HoldBack(next.At)
	}
	if have.Received < next.At {
		return StartPoint{}, fmt.Errorf("%w: timeline %s ended at %s, but WAL came only up to %s",
			ErrProtocol, have.Timeline, next.At, have.Received)
	}
	return next, ErrTimelineEnded
}

// leave tells the server where we are and waits until it has read that.
func (st *Stream) leave() {
	if _, err := st.rp.step(true); err != nil {
		return // it is gone already
	}
	st.conn.Leave()
}

// StreamError returns err, with an explanation where the server closed the connection. errors.Is finds the original
// error still.
func StreamError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("server closed the connection unexpectedly: %w", err)
	}
	return err
}
