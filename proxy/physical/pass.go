package physical

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// errLinkLost: the connection to the primary broke before it answered anything.
var errLinkLost = errors.New("connection to the primary lost")

// errTorn: a message reached the client in part, so it cannot be told why the session ends.
var errTorn = errors.New("broken off inside a message")

// pass hands a command to the primary, on the session's own connection, and its answer to the client. It blocks until
// the answer is over. An ERROR, also of this proxy, is for the client, and nil is returned.
func (s *session) pass(parent, ctx context.Context, cmd grammar.Command, query string) error {
	ok, err := s.linked(parent)
	switch {
	case err != nil:
		return s.fail(nil, err)
	case !ok:
		return s.fail(nil, errReconnect(cmd))
	}
	err = s.forward(parent, ctx, cmd, query)
	if errors.Is(err, errLinkLost) {
		return s.fail(nil, errReconnect(cmd))
	}
	return err
}

// passing is one command that the primary answers. The session's goroutine passes the answer, the
// client's listener passes what the client uploads.
type passing struct {
	s         *session
	backup    *backup         // nil: it is none
	asks      bool            // its answer belongs to the stored WAL whatever has been asked on this link before
	caughtUp  bool            // nothing is passed: see answerCaughtUp
	refusal   *pgerror.Error  // the server is not the one whose WAL is stored: it was not asked
	brief     bool            // the primary answers at once: a client that has said its last waits for that
	ctx       context.Context // ends when the command is broken off, with the reason
	fail      context.CancelCauseFunc
	cancelled context.Context // ends when the client cancels the command
	begun     bool            // something of the answer has been passed
	fatal     bool            // the primary has told the client that the session is over
	copyIn    chan struct{}   // closed when the primary wants CopyData
	opened    bool            // copyIn is closed; owned by the session's goroutine
	ended     bool            // nothing of the client is passed any more; owned by the listener
	spoilt    atomic.Bool     // the client broke the rules of COPY: the link is good for nothing after it
	over      atomic.Bool     // the primary has ended COPY by an error
}

// forward sends a command on and passes everything back until ReadyForQuery. The link is busy when it is called, and
// idle or closed when it returns. Pressure goes back by itself: nothing is read from the primary while the client has
// bytes to take. errLinkLost means that the client has seen nothing and can be answered otherwise.
func (s *session) forward(parent, cancelled context.Context, cmd grammar.Command, query string) error {
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	p := &passing{s: s, ctx: ctx, fail: fail, cancelled: cancelled, copyIn: make(chan struct{})}
	p.backup, p.caughtUp = newBackup(cmd), s.asksCaughtUp(cmd)
	if p.backup != nil {
		defer s.h.o.Hub.BackupBegins(s.info())()
	}
	p.asks = long(cmd) || p.caughtUp
	drop, _ := cmd.(*grammar.DropSlot)
	p.brief = !long(cmd) && (drop == nil || !drop.Wait)
	defer context.AfterFunc(parent, func() { fail(errShutdown()) })()
	defer s.passCancel(cancelled)()
	stopBreak := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errClientGone) {
			s.link.interrupt()
			return
		}
		_ = s.link.up.Conn.SetReadDeadline(time.Now().Add(lastWords))
		_ = s.client.conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
	if long(cmd) {
		s.link.lend()
	}
	err := p.run(query)
	// Stopped in any case: its deadlines must not strike a session that goes on. Where it has begun already it is not
	// waited for: broken closes the link then, and the session has only last words to say.
	if whole := stopBreak(); err != nil || !whole {
		return p.broken(err)
	}
	if p.spoilt.Load() {
		s.link.close()
		return nil
	}
	s.link.giveBack()
	if p.refusal != nil {
		return s.fail(nil, p.refusal)
	}
	return nil
}

// passCancel passes a CancelRequest on while the command runs. The returned func waits for one that
// is under way, lest it hit the next command.
func (s *session) passCancel(cancelled context.Context) (stop func()) {
	done := make(chan struct{})
	withdraw := context.AfterFunc(cancelled, func() {
		defer close(done)
		if err := s.link.cancel(); err != nil {
			s.h.o.Logger.Warn("cancel request not delivered", "session_id", uint64(s.server.ID()), "err", err)
		}
	})
	return func() {
		if !withdraw() {
			<-done
		}
	}
}

// long reports whether cmd runs longer than others should wait for a place at the gate.
func long(cmd grammar.Command) bool {
	switch cmd.(type) {
	case *grammar.BaseBackup, *grammar.UploadManifest:
		return true
	}
	return false
}

func (p *passing) run(query string) error {
	link := p.s.link
	stop := p.s.client.listen(p.ctx, p.unreadable, p.upload)
	defer stop()
	if err := p.agree(); err != nil || p.refusal != nil {
		return err
	}
	if p.caughtUp {
		return errors.Join(p.answerCaughtUp(), p.s.client.flush())
	}
	if _, err := link.up.Conn.Write(wire.AppendFrame(nil, 'Q', append([]byte(query), 0))); err != nil {
		return err
	}
	for p.ctx.Err() == nil {
		if link.r.Buffered() == 0 {
			if err := p.s.client.flush(); err != nil {
				return err
			}
		}
		h, err := link.r.Next()
		if err != nil {
			return err
		}
		if err := p.frame(h); err != nil {
			return err
		}
		if h.Type == 'Z' {
			return p.s.client.flush()
		}
	}
	return context.Cause(p.ctx)
}

// frame passes one message: small ones that matter are looked at, the others go through as they are.
func (p *passing) frame(h wire.Header) error {
	client, r := p.s.client, p.s.link.r
	switch {
	case h.Type == 'G' && !p.opened:
		// The client has it before its listener goes on: what it has sent may end the session.
		p.begun, p.opened = true, true
		err := errors.Join(client.putFrom(r, h.Type, h.Size), client.flush())
		close(p.copyIn)
		return err
	case (h.Type == 'E' || h.Type == 'S' || p.backup.looksAt(h.Type)) && h.Size <= maxSmall:
		body, err := r.Body(h.Size, maxSmall)
		if err != nil {
			return err
		}
		switch h.Type {
		case 'S':
			p.s.parameter(body)
		case 'c', 'D':
			begin, end := p.backup.hear(h.Type, body)
			p.s.h.learnKnown(begin.LSN)
			if err := p.awaitEnd(end); err != nil {
				return err
			}
		default:
			if err := p.note(body); err != nil {
				return err
			}
		}
		p.begun = true
		return client.put(wire.AppendFrame(nil, h.Type, body))
	}
	p.begun = true
	if h.Type == 'E' { // a large one, of which the beginning is not needed
		p.failed()
	}
	return client.putFrom(r, h.Type, h.Size)
}

// failed notes that the command has ended by an error of the primary.
func (p *passing) failed() {
	p.over.Store(true)
	p.s.h.o.Hub.DropTemporary(p.s.server.PID())
}

// note looks at an error of the primary before it is passed on.
func (p *passing) note(body []byte) error {
	e, ok := wire.ParseError(body)
	if ok && e.Severity != pgerror.SeverityError {
		if !p.begun {
			return fmt.Errorf("%w: %w", errLinkLost, e) // it ended before this command
		}
		p.fatal = true
	}
	p.failed()
	return nil
}
