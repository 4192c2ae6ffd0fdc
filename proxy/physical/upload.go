package physical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// lastWords bounds the time for a broken-off command to reach the end of a message, so that the client can be told. A
// throttled base backup pauses inside of them for a second.
const lastWords = 2 * time.Second

// upload passes the client's data on while the primary copies in; anything else waits for its turn.
func (p *passing) upload(ctx context.Context, h wire.Header) (more bool) {
	select {
	case <-ctx.Done():
		return false
	case <-p.copyIn:
	}
	switch {
	case p.ended:
		<-ctx.Done()
		return false
	case p.over.Load():
		return false
	case bytes.IndexByte([]byte("dcfHS"), h.Type) < 0:
		// The primary ends a session that leaves COPY like this, and says so best.
		p.spoilt.Store(true)
		p.ended = true
		if h.Type == 'Q' {
			return p.leave()
		}
	case h.Type == 'S':
		p.spoilt.Store(true) // within COPY it is ignored; after an error that is under way it is answered
	case h.Type == 'c' || h.Type == 'f':
		p.ended = true
	}
	err := interruptible(p.ctx, p.s.client.conn.SetReadDeadline, func() error {
		_, err := io.Copy(p.s.link.up.Conn, io.MultiReader(
			bytes.NewReader(wire.AppendHeader(nil, h.Type, h.Size)),
			io.LimitReader(p.s.client.r, int64(h.Size))))
		return err
	})
	if err != nil {
		p.fail(fmt.Errorf("%w: upload: %w", errClientGone, err))
	}
	return err == nil
}

// leave tells the primary of a Query within COPY without its text. COPY may have ended by an error that has not been
// heard of, and then the Query is this proxy's to answer, after that error (ruling R35).
func (p *passing) leave() (more bool) {
	if _, err := p.s.link.up.Conn.Write(wire.AppendFrame(nil, 'Q', []byte{0})); err != nil {
		p.fail(fmt.Errorf("%w: upload: %w", errClientGone, err))
	}
	return false
}

// unreadable hears that the client has gone, or sent what can be no frame. Bytes that are no frame matter now only if
// the primary waits for them. The client's end, which may be of its own side only, matters only if the command would
// keep a walsender busy.
func (p *passing) unreadable(ctx context.Context, err error) {
	end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if errors.Is(err, wire.ErrFrame) || end && p.brief {
		select {
		case <-ctx.Done():
			return
		case <-p.copyIn:
		}
	}
	p.fail(err)
}

// broken closes the connection to the primary and returns the error with which a command ends that was not answered to
// its end.
func (p *passing) broken(err error) error {
	link, client := p.s.link, p.s.client
	link.loggedIn = false // it may stand inside a message: no Terminate
	link.close()
	if cause := context.Cause(p.ctx); cause != nil {
		err = cause
	}
	var told *pgerror.Error
	switch {
	case errors.Is(err, errClientGone), client.torn:
		return fmt.Errorf("%w: %w", errTorn, err)
	case errors.Is(err, errLinkLost):
		return err
	case p.fatal:
		return errors.Join(errOver, client.flush())
	case !errors.As(err, &told) && !p.begun:
		return fmt.Errorf("%w: %w", errLinkLost, err)
	case told == nil:
		told = pgerror.Fatal(pgerror.ConnectionFailure, "connection to the primary was lost").WithCause(err)
	}
	if err := client.flush(); err != nil {
		return err
	}
	return told
}
