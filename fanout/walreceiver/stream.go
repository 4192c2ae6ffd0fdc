package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// drainWait bounds the wait for the server to close after we said goodbye. Closing first, with unread
// WAL in the socket, would send a reset that may overtake our last report.
const drainWait = 2 * time.Second

// errSaidMore: the upstream was told a position that its new timeline has other WAL at. A walsender keeps
// what it was told across timelines, a new one does not (ruling R12).
var errSaidMore = errors.New("more was reported than the new timeline has in common: streaming begins anew")

// errTimelineEnded: the server ended the COPY, a newer timeline follows.
var errTimelineEnded = errors.New("end of timeline")

// inbound takes messages off the wire and WAL into the store. It belongs to the reader.
type inbound struct {
	r        *wire.Reader
	store    Store
	live     *live
	async    func(typ byte, body []byte) error // ParameterStatus and notices
	begin    func() error                      // before the first WAL; nil once called
	expected lsn.LSN
	// same is called once, when all stored WAL that is sent again, up to stored, was found to be the same.
	same   func()
	stored lsn.LSN
}

// Read is how the store takes WAL: each piece is a sign of life.
func (in *inbound) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if n > 0 {
		in.live.hear()
	}
	return n, err
}

// step handles one message. errTimelineEnded is the orderly end, every other error is final too.
func (in *inbound) step(ctx context.Context) error {
	m, err := readMessage(in.r)
	if err != nil {
		return err
	}
	in.live.hear()
	switch m.kind {
	case 'w':
		return in.wal(ctx, m)
	case 'k':
		in.live.got(m.walEnd)
		if m.wantReply {
			in.live.ping(m.walEnd)
		}
		return nil
	case 'c':
		return errTimelineEnded
	case 'C':
		return fmt.Errorf("%w (%s)", ErrUpstreamShutdown, m.body)
	case 'E':
		return m.refusal
	}
	return in.async(m.kind, m.body)
}

// wal moves one message's WAL into the store, where it must continue what came before it.
func (in *inbound) wal(ctx context.Context, m message) error {
	if m.start != in.expected {
		return fmt.Errorf("%w: %w", ErrProtocol, &walstore.GapError{Expected: in.expected, Got: m.start})
	}
	if m.size > 0 {
		if err := in.begun(); err != nil {
			return err
		}
		if err := in.store.AppendFrom(ctx, m.start, in, m.size); err != nil {
			return err
		}
	}
	end := m.start + lsn.LSN(m.size)
	in.expected = end
	in.compared()
	if end > in.live.receivedEnd() {
		in.live.received.Store(uint64(end))
	}
	in.live.got(m.walEnd)
	// The store may have moved, and woken the reporter, before received did. Written is read after
	// received was set, so either the reporter saw the new received or this wakes it.
	if in.store.Positions().Written >= end {
		in.live.wake()
	}
	return nil
}

// compared tells when the server has proven that it has the stored WAL.
func (in *inbound) compared() {
	if in.same != nil && in.expected >= in.stored {
		in.same()
		in.same = nil
	}
}

func (in *inbound) begun() error {
	if in.begin == nil {
		return nil
	}
	begin := in.begin
	in.begin = nil
	return begin()
}

// stream runs one COPY on s, from p.at, until it ends. After errTimelineEnded the session is in COPY
// mode no more, and next says what follows. After any other error it is of no use.
func (r *Receiver) stream(ctx context.Context, s *upstream.Session, rp *reporter, p startPoint, srv server,
) (next startPoint, err error) {
	h := srv.history
	in := &inbound{r: s.Reader, store: r.o.Store, live: rp.live, expected: p.at}
	in.same = func() { r.proven(s, p) }
	if have := r.o.Store.Positions(); have.Timeline != p.timeline { // prepareStream left it to the first WAL
		in.begin = func() error { return r.startStream(p, h) }
	} else {
		in.stored = have.Received
	}
	in.compared()
	in.async = func(typ byte, body []byte) error {
		err := s.Async(typ, body)
		r.setParameters(s)
		return err
	}
	sctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unblocked := make(chan struct{})
	keepReading := context.AfterFunc(sctx, func() {
		s.Conn.SetReadDeadline(time.Unix(1, 0))
		close(unblocked)
	})
	reporting := make(chan error, 1)
	go func() {
		err := rp.run(sctx)
		cancel(err)
		reporting <- err
	}()
	higher := make(chan struct{})
	go func() {
		defer close(higher)
		if r.member == "" && p.timeline == srv.timeline {
			r.lookForHigher(sctx, s, srv)
		}
	}()
	silence := make(chan struct{})
	go func() {
		defer close(silence)
		if r.member == "" {
			r.lookForSilence(sctx, s.Endpoint, rp.live)
		}
	}()
	looking := make(chan error, 1)
	go func() {
		var err error
		if r.member == "" { // a proxy that stops waits for nobody for long
			if err = r.lookForStop(sctx, s.Endpoint, rp.live); err != nil {
				cancel(err)
			}
		}
		looking <- err
	}()
	for err == nil {
		err = in.step(sctx)
	}
	ended := errors.Is(err, errTimelineEnded)
	if !keepReading() {
		<-unblocked // or its deadline would strike later
		ended = false
	}
	cancel(err)
	reportErr, stops := <-reporting, <-looking
	<-higher
	<-silence
	if reportErr != nil {
		return next, reportErr // the read error, if there is one, is its consequence
	}
	if ctx.Err() != nil {
		r.leave(s, rp)
		return next, context.Cause(ctx)
	}
	if stops != nil {
		r.leave(s, rp)
		return next, stops
	}
	if !ended {
		return next, streamError(err)
	}
	return r.endTimeline(ctx, s, rp)
}

// endTimeline answers the server's CopyDone and reads which timeline follows where.
func (r *Receiver) endTimeline(ctx context.Context, s *upstream.Session, rp *reporter) (startPoint, error) {
	if err := rp.endCopy(); err != nil {
		return startPoint{}, fmt.Errorf("end streaming: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	res, err := s.FinishCopy(ctx)
	if err != nil {
		return startPoint{}, fmt.Errorf("end streaming: %w", err)
	}
	next, err := nextTimeline(res)
	if err != nil {
		return startPoint{}, err
	}
	have := r.o.Store.Positions()
	if have.Received > next.at {
		r.o.Store.HoldBack(next.at)
	}
	if have.Received < next.at {
		return startPoint{}, fmt.Errorf("%w: timeline %s ended at %s, but WAL came only up to %s",
			ErrProtocol, have.Timeline, next.at, have.Received)
	}
	return next, errTimelineEnded
}

// leave tells the server where we are and waits until it has read that.
func (r *Receiver) leave(s *upstream.Session, rp *reporter) {
	if err := rp.farewell(); err != nil {
		return // it is gone already
	}
	s.Conn.SetReadDeadline(time.Now().Add(drainWait))
	io.Copy(io.Discard, s.Conn) // its end is all we wait for
}

// streamError says what the end of the byte stream means.
func streamError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("server closed the connection unexpectedly: %w", err)
	}
	return err
}
