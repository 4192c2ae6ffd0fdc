package walsender

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/stamp"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// maxCopyData and maxOther are PostgreSQL's limits of a frame's body (facts E3). The proxy keeps at most
	// maxReply bytes of one: what follows the fields is skipped, as PostgreSQL ignores it.
	maxCopyData = 0x3fffffff
	maxOther    = 10000 - 4
	maxReply    = 64
)

// replies runs the replies loop: the only reader of the connection, until CopyDone or an error.
func (s *Sender) replies() {
	for {
		more, err := s.reply()
		if err != nil && !errors.Is(err, errStopped) {
			s.mu.Lock()
			s.endWith(err)
			s.mu.Unlock()
		}
		if err != nil || !more {
			return
		}
	}
}

// over returns an error that ends the session without a message to the standby.
func over(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSessionOver, fmt.Errorf(format, args...))
}

// reply reads and handles one frame. more is false after the standby's CopyDone.
func (s *Sender) reply() (more bool, err error) {
	h, err := s.o.Conn.Frames.Next()
	if err != nil && !errors.Is(err, wire.ErrFrame) {
		return false, s.readError(err, false)
	}
	limit := maxOther
	switch h.Type { // before its length, as PostgreSQL does
	case 'd':
		limit = maxCopyData
	case 'c', 'X':
	default:
		return false, s.within(pgerror.Fatal(pgerror.ProtocolViolation,
			`invalid standby message type "%s"`, []byte{h.Type}))
	}
	if err != nil {
		return false, s.readError(err, false)
	}
	if h.Size > limit {
		return false, s.within(over("invalid message length: %d bytes of type %q", h.Size, h.Type))
	}
	body, err := s.o.Conn.Frames.Body(min(h.Size, maxReply), maxReply)
	if err == nil {
		err = s.o.Conn.Frames.Discard(h.Size - len(body))
	}
	if err != nil {
		return false, s.readError(err, true)
	}
	switch h.Type {
	case 'c':
		s.clientDone()
		return false, nil
	case 'X':
		return false, over("the standby terminated the session")
	}
	return true, s.standbyMessage(body)
}

// readError returns the error of the replies loop for a read that failed. inside: the read was of a frame's body.
func (s *Sender) readError(err error, inside bool) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if inside {
			_ = s.within(ErrSessionOver)
		}
		return errStopped
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return over("unexpected EOF on standby connection")
	}
	return over("read from standby: %w", err)
}

// within returns err, and notes that the replies loop ended by it when a frame was read in part. The connection cannot
// take a command then. Use it only for errors that end the session anyway.
func (s *Sender) within(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside = err
	return err
}

// errStopped ends a replies loop that the send loop has stopped; nobody sees it.
var errStopped = errors.New("replies stopped")

// stopReplies ends the replies loop, if it still runs, and waits for it.
func (s *Sender) stopReplies(done <-chan struct{}) {
	select {
	case <-done:
		return
	default:
	}
	_ = s.o.Conn.Net.SetReadDeadline(deadline.Past())
	<-done
}

func (s *Sender) clientDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.clientDone(time.Now())
	s.poke()
}

// standbyMessage handles the payload of one CopyData; bytes after the fields are ignored (facts E3). Too few, or
// another tag, are a walsender's error, which ends the session.
func (s *Sender) standbyMessage(p []byte) error {
	if len(p) == 0 {
		return errNoData()
	}
	switch p[0] {
	case copyboth.TagStatusUpdate:
		m, err := copyboth.DecodeStatusUpdate(p[:min(len(p), copyboth.StatusUpdateSize)])
		if err != nil && len(p) == copyboth.StatusUpdateSize-1 { // all but the last field, which is a byte
			return errNoData().WithCause(err)
		}
		if err != nil {
			return errShort(err)
		}
		s.o.Conn.Arrival.At(stamp.ReplyReadable, stamp.ReplyRead, s.who, m.Flush)
		s.statusUpdate(m, time.Now())
	case copyboth.TagHotStandbyFeedback:
		m, err := copyboth.DecodeHotStandbyFeedback(p[:min(len(p), copyboth.HotStandbyFeedbackSize)])
		if err != nil {
			return errShort(err)
		}
		s.feedback(m, time.Now())
	default:
		return over("unexpected message type %q", p[0])
	}
	return nil
}

func errNoData() *pgerror.Error {
	return pgerror.New(pgerror.ProtocolViolation, "no data left in message")
}

func errShort(cause error) error {
	return pgerror.New(pgerror.ProtocolViolation, "insufficient data left in message").WithCause(cause)
}

// statusUpdate notes a reply and tells the slot, which follows every non-zero flush as far as this proxy has the WAL
// (R28), and who counts votes. What follows from a vote is done on this goroutine.
func (s *Sender) statusUpdate(m copyboth.StatusUpdate, now time.Time) {
	if !s.judged(m) {
		return
	}
	s.mu.Lock()
	s.heard(now)
	if err := s.observe(now); err != nil { // a timeline that was left ends at the fork, for reports too
		s.endWith(err)
		s.mu.Unlock()
		return
	}
	flush, wake := s.core.reply(m, now)
	s.countFlush()
	timeline, sent, streaming := s.core.plan.Timeline, s.core.had(), s.core.state >= Streaming
	s.mu.Unlock()
	if wake {
		s.wake()
	}
	s.who.At(stamp.Asked, m.Flush)
	if s.o.Slot != nil && flush != lsn.Invalid {
		s.o.Slot.Confirm(flush)
	}
	if s.o.Voter != nil {
		s.o.Voter.Report(now, timeline, sent, m.Progress, streaming)
	}
}

// judged lets the stream begin when the standby may have WAL, by what it says first. It is the replies loop's.
func (s *Sender) judged(m copyboth.StatusUpdate) bool {
	s.mu.Lock()
	waits := s.core.unjudged
	s.mu.Unlock()
	if !waits {
		return true
	}
	err := s.o.Judge(m.Progress)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.endWith(err)
		return false
	}
	s.core.unjudged = false
	s.wake()
	return true
}

// FirstNormalXID is the lowest transaction ID of an ordinary transaction; lower ones mean "none".
const FirstNormalXID = 3

// feedback books hot standby feedback; a slot keeps it beyond this session (facts F5). What is insane leaves both
// values as they were.
func (s *Sender) feedback(m copyboth.HotStandbyFeedback, now time.Time) {
	f := Feedback{Xmin: normalXID(m.Xmin), CatalogXmin: normalXID(m.CatalogXmin)}
	insane := s.o.Sane != nil && !s.o.Sane(f)
	s.mu.Lock()
	s.heard(now)
	s.core.heard(now)
	s.insane = insane
	if insane {
		f = s.fb
	}
	s.fb = f
	s.mu.Unlock()
	if s.o.Slot != nil && !insane {
		s.o.Slot.SetXmin(f.Xmin, f.CatalogXmin)
	}
	if s.o.Feedback != nil {
		s.o.Feedback(f)
	}
}

func normalXID(x copyboth.FullXID) copyboth.FullXID {
	if uint32(x) < FirstNormalXID {
		return 0
	}
	return x
}
