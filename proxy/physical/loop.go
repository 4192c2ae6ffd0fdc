package physical

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// errOver ends a session that needs no more words.
var errOver = errors.New("session over")

// loop reads messages and answers them as a walsender of PostgreSQL does (facts B1). ctx ends when the server stops:
// then commands that have already come are refused, and an idle session is ended.
func (s *session) loop(ctx context.Context) error {
	skip := false // until Sync, after an error in the extended protocol
	for {
		h, err := s.client.next(ctx)
		switch {
		case errors.Is(err, errInterrupted):
			return errShutdown()
		case err != nil:
			return lostClient(err)
		case !known(h.Type):
			return pgerror.Fatal(pgerror.ProtocolViolation, "invalid frontend message type %d", h.Type)
		case short(h.Type) && h.Size > maxShort:
			return fmt.Errorf("%w: message %q of %d bytes", errClientGone, h.Type, h.Size)
		case h.Type == 'X':
			return errOver
		case h.Type == 'S':
			skip = false
			err = s.sync(ctx, h)
		case skip || !answered(h):
			err = s.client.skip(ctx, h.Size)
		case h.Type == 'Q':
			err = s.query(ctx, h)
		case h.Type == 'F':
			err = s.refuse(ctx, h, "fastpath function calls not supported in a replication connection", true)
		case h.Type == 'H':
			skip = true
			err = s.refuse(ctx, h, "invalid message format", false)
		default:
			skip = true
			err = s.refuse(ctx, h, "extended query protocol not supported in a replication connection", false)
		}
		if err != nil {
			return lostClient(err)
		}
	}
}

// lostClient tells the end of the client's connection from everything else. A frame whose length
// cannot be is what PostgreSQL calls a lost connection too.
func lostClient(err error) error {
	var e *pgerror.Error
	if errors.As(err, &e) || errors.Is(err, errOver) || errors.Is(err, errClientGone) {
		return err
	}
	return fmt.Errorf("%w: %w", errClientGone, err)
}

// known reports whether a frontend may send such a message to a backend.
func known(typ byte) bool { return bytes.IndexByte([]byte("QFXBPCEDHSdcf"), typ) >= 0 }

// short reports whether PostgreSQL, since 14, takes such a message to be garbage when it is long: it ends the session
// without a word.
func short(typ byte) bool { return bytes.IndexByte([]byte("XCDEHScf"), typ) >= 0 }

// answered reports whether a message gets an answer; Flush has nothing to flush, and Copy* outside of COPY is left over
// from one that ended in an error.
func answered(h wire.Header) bool {
	return bytes.IndexByte([]byte("dcf"), h.Type) < 0 && (h.Type != 'H' || h.Size > 0)
}

func (s *session) sync(ctx context.Context, h wire.Header) error {
	if h.Size > 0 {
		return s.refuse(ctx, h, "invalid message format", true)
	}
	return s.send(s.ready(nil))
}

// refuse drops a message and answers it with a 08P01, which says text. ready: ReadyForQuery follows.
func (s *session) refuse(ctx context.Context, h wire.Header, text string, ready bool) error {
	if err := s.client.skip(ctx, h.Size); err != nil {
		return err
	}
	return s.fault(nil, pgerror.New(pgerror.ProtocolViolation, "%s", text), ready)
}

// query answers one simple query. An ERROR is for the client and nil is returned; an error ends the session.
func (s *session) query(ctx context.Context, h wire.Header) error {
	body, err := s.client.body(ctx, h.Size, maxQuery)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return s.fail(nil, pgerror.New(pgerror.ObjectNotInPrerequisite,
			"cannot execute new commands while WAL sender is in stopping mode"))
	}
	text, e := queryText(body)
	if e != nil {
		return s.fail(nil, e)
	}
	replication, err := grammar.IsReplicationCommand(text, s.version)
	if err != nil {
		return s.fail(nil, err)
	}
	if !replication {
		return s.fail(nil, pgerror.New(pgerror.FeatureNotSupported,
			"cannot execute SQL commands in WAL sender for physical replication"))
	}
	cmd, notices, err := grammar.Parse(text, s.version)
	if err != nil {
		return s.fail(appendNotices(nil, notices), err)
	}
	return s.execute(ctx, cmd, text, notices)
}

// queryText returns the text of a Query's body, checked as PostgreSQL does: a string, and nothing after it. The refusal
// is 08P01.
func queryText(body []byte) (string, *pgerror.Error) {
	end := bytes.IndexByte(body, 0)
	switch {
	case end < 0:
		return "", pgerror.New(pgerror.ProtocolViolation, "invalid string in message")
	case end != len(body)-1:
		return "", pgerror.New(pgerror.ProtocolViolation, "invalid message format")
	}
	return string(body[:end]), nil
}

// send writes whole frames now, and blocks until the socket has them. An error is of the client's socket.
func (s *session) send(frames []byte) error {
	if err := s.client.put(frames); err != nil {
		return err
	}
	return s.client.flush()
}

// done ends a command: with the frames before and ReadyForQuery, or as fail does with an err.
func (s *session) done(before []byte, err error) error {
	if err != nil {
		return s.fail(before, err)
	}
	return s.send(s.ready(before))
}

// fail ends a command with an error after the frames that came before it. A FATAL is returned, for the caller to end
// the session with. So is errClientGone, as nobody is there to tell.
func (s *session) fail(before []byte, err error) error {
	if errors.Is(err, errClientGone) {
		return err
	}
	return s.fault(before, err, true)
}

func (s *session) fault(before []byte, err error, ready bool) error {
	e := pgerror.From(err)
	if e.Unwrap() != nil {
		s.h.o.Logger.Warn("command failed", "session_id", uint64(s.server.ID()), "err", e)
	}
	// Any error costs a session its temporary slots (facts B1).
	s.h.o.Hub.DropTemporary(s.server.PID())
	if e.IsFatal() {
		if err := s.send(before); err != nil {
			return err
		}
		return e
	}
	frames := wire.AppendError(before, e)
	if s.database != nil {
		unsaid, err := s.database.spoil()
		if err != nil {
			return err
		}
		frames = append(frames, unsaid...)
	}
	if ready {
		frames = s.ready(frames)
	}
	return s.send(frames)
}
