package walsource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errCut ends a look after which its session is of no use.
type errCut struct{ error }

func (e errCut) Unwrap() error { return e.error }

// compare reads WAL [from, to) of the server of s and gives the first position where the stored WAL is different. See
// look for s.
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

// look gives WAL [from, to) of the server of s to f, piece by piece, as long as that wants more. It takes no slot, and
// reports nothing. Afterwards s is ready for a command, unless the error is an errCut.
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

// readWAL reads the next message with WAL, which begins at at.
func readWAL(s Conn, at lsn.LSN) ([]byte, error) {
	for {
		m, err := s.Receive()
		switch {
		case err != nil:
			return nil, walreceiver.StreamError(err)
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

// cutUnlessRefused is err of a command, which leaves a session usable only when it is the server's refusal.
func cutUnlessRefused(err error) error {
	if e := (*pgerror.Error)(nil); errors.As(err, &e) && !e.IsFatal() {
		return err
	}
	return errCut{err}
}

// either is err, or else other.
func either(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
