package physical

import (
	"context"
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// agree refuses the command where the server at the other end of the link is not the one whose WAL is stored. The
// refusal is then in p.refusal; err says that the link failed. What was found before a short command holds until the
// store changes over.
func (p *passing) agree() (err error) {
	s := p.s
	if s.h.o.Followed == nil {
		return nil
	}
	on, unknown := s.h.o.Hub.Identify()
	if !p.asks && unknown == nil && s.link.agreed == on.Timeline {
		return nil
	}
	w := &s.link.at
	w.Endpoint, w.Virtual = s.link.up.Name, s.link.pid > highestPID
	w.InRecovery = s.parameters["in_hot_standby"] == "on"
	ctx, done := context.WithCancelCause(p.ctx)
	defer done(nil)
	defer context.AfterFunc(p.cancelled, func() { done(context.Cause(p.cancelled)) })()
	if p.refusal, err = s.h.agree(ctx, p.ask, w, s.link.lend); err != nil && p.ctx.Err() == nil && ctx.Err() != nil {
		p.refusal, err = pgerror.From(context.Cause(ctx)), nil
	}
	if s.link.agreed = 0; err == nil && p.refusal == nil && unknown == nil {
		s.link.agreed = on.Timeline
	}
	return err
}

// ask puts a Query of our own to the primary. What the primary says unasked is for the client.
func (p *passing) ask(query string) (row []string, refused *pgerror.Error, err error) {
	link, client := p.s.link, p.s.client
	if _, err := link.up.Conn.Write(wire.AppendFrame(nil, 'Q', append([]byte(query), 0))); err != nil {
		return nil, nil, err
	}
	for {
		h, err := link.r.Next()
		if err != nil {
			return nil, nil, err
		}
		body, err := link.r.Body(h.Size, maxHistory)
		if err != nil {
			return nil, nil, err
		}
		switch h.Type {
		case 'S', 'N':
			if h.Type == 'S' {
				p.s.parameter(body)
			}
			if err := client.put(wire.AppendFrame(nil, h.Type, body)); err != nil {
				return nil, nil, err
			}
		case 'D':
			row = columns(body)
		case 'E':
			if refused, _ = wire.ParseError(body); refused.IsFatal() {
				return nil, nil, fmt.Errorf("%w: %w", errLinkLost, refused)
			}
		case 'Z':
			return row, refused, nil
		}
	}
}

// awaitEnd passes on the primary's messages that the client has not got yet. It blocks until the store has the WAL up
// to end, the end of its base backup, for endDue at most. end.LSN 0: there is none. A backup that brings its WAL itself
// does not wait. The caller shows the client that end after nil only. An error is of the client's socket, of the
// context, or a *pgerror.Error that ends the session.
func (p *passing) awaitEnd(end lsn.Point) error {
	if end.LSN == lsn.Invalid {
		return nil
	}
	if err := p.s.client.flush(); err != nil {
		return err
	}
	return p.s.h.awaitEnd(p.ctx, p.backup, end)
}
