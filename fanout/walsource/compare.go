package walsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errCut wraps the error of a look that left its session unusable, amid a message or a command.
type errCut struct{ error }

func (e errCut) Unwrap() error { return e.error }

// compare reads the WAL [from, to) from the server of s and returns the first position at which the stored WAL differs.
// For s see look.
func (r *Supply) compare(ctx context.Context, s Conn, t lsn.TimelineID, from, to lsn.LSN,
) (d lsn.LSN, differ bool, err error) {
	err = look(ctx, s, t, from, to, func(at lsn.LSN, sent []byte) (more bool, err error) {
		d, differ, err = r.o.Store.Difference(at, sent)
		return !differ, err
	})
	if err != nil {
		return 0, false, err
	}
	return d, differ, nil
}

// look reads the WAL [from, to) from the server of s and calls f with each piece, until f wants no more. It uses no
// slot and reports no positions. Afterwards s is ready for a command, unless the error is an errCut.
func look(ctx context.Context, s Conn, t lsn.TimelineID, from, to lsn.LSN,
	f func(at lsn.LSN, sent []byte) (more bool, err error),
) error {
	copying, _, err := s.Start(ctx, "", walreceiver.StartPoint{Timeline: t, At: from})
	if err == nil && !copying {
		err = walreceiver.ErrProtocol
	}
	if err != nil {
		return fmt.Errorf("compare WAL from %s: %w", from, cutUnlessRefused(err))
	}
	stop := context.AfterFunc(ctx, s.Interrupt)
	at, more := from, true
	for at < to && more && err == nil {
		var sent []byte
		if sent, err = readWAL(s, at); err == nil {
			more, err = f(at, sent[:min(to-at, lsn.LSN(len(sent)))])
			at += lsn.LSN(len(sent))
		}
	}
	over := s.Break(ctx, errors.As(err, new(*pgerror.Error)))
	if !stop() {
		over = context.Cause(ctx)
	}
	if over != nil {
		err = errCut{either(err, over)}
	}
	if err != nil {
		return fmt.Errorf("compare WAL at %s: %w", at, err)
	}
	return nil
}

// readWAL returns the WAL of the next XLogData message, which must begin at at. It blocks until one comes, answers
// keepalives meanwhile, and fails when the stream ends.
func readWAL(s Conn, at lsn.LSN) ([]byte, error) {
	for {
		m, err := s.Receive()
		switch {
		case err != nil:
			return nil, walreceiver.StreamError(err)
		case m.Kind == 'k' && m.WantReply:
			if err := s.Send(nothingYet(time.Now()), partingPatience); err != nil {
				return nil, walreceiver.StreamError(err)
			}
		case m.Kind == 'k', m.Kind == 'N', m.Kind == 'S':
			continue
		case m.Kind == 'E':
			return nil, m.Refusal
		case m.Kind != 'w' || m.Start != at:
			return nil, walreceiver.ErrProtocol
		}
		sent := make([]byte, m.Size)
		if _, err := io.ReadFull(s, sent); err != nil {
			return nil, walreceiver.StreamError(err)
		}
		return sent, nil
	}
}

// nothingYet returns the reply of a standby that has nothing yet. The server waits for one as long as
// wal_sender_timeout, and takes no position from it.
func nothingYet(now time.Time) []byte {
	m := copyboth.StatusUpdate{SentAt: copyboth.TimeOf(now)}
	return m.Append(nil)
}

// cutUnlessRefused returns err, the error of a command. It is wrapped in errCut unless it is an ERROR of the server,
// after which the session takes further commands.
func cutUnlessRefused(err error) error {
	if e := (*pgerror.Error)(nil); errors.As(err, &e) && !e.IsFatal() {
		return err
	}
	return errCut{err}
}

// either returns err; if that is nil, other.
func either(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
