package relay

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/internal/wire"
)

func (l *login) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	_ = l.client.SetWriteDeadline(time.Now().Add(l.timeout))
	_, err := l.client.Write(l.out)
	l.out = l.out[:0]
	if err != nil {
		return &SideError{Side: Client, Err: fmt.Errorf("write log-in: %w", err)}
	}
	return nil
}

// answers passes one 'p' on for every question. Nothing else of the client is read: what it sent
// ahead waits until the primary has accepted it.
func (l *login) answers(asks <-chan struct{}) error {
	for {
		asked, err := l.await(asks)
		if err != nil {
			l.wake()
			return err
		}
		if !asked || !l.arm() {
			return nil
		}
		typ, body, err := l.client.answer()
		switch {
		case isTimeout(err) && l.isStopped():
			return nil
		case isTimeout(err):
			err = &RefusedError{Err: errAuthenticationTimeout}
		case errors.Is(err, wire.ErrFrame):
			err = &RefusedError{Err: pgerror.Fatal(pgerror.ProtocolViolation, "invalid message length")}
		case err != nil:
			err = &SideError{Side: Client, Err: fmt.Errorf("read answer: %w", err)}
		default:
			if refused := l.watch.FromClient(typ, body); refused != nil {
				err = &RefusedError{Err: pgerror.From(refused).AsFatal()}
			}
		}
		if err != nil {
			l.wake()
			return err
		}
		l.on(Answered) // before the primary can ask again
		if _, werr := l.upstream.Write(wire.AppendFrame(nil, typ, body)); werr != nil {
			return nil // the reader of the primary sees why
		}
	}
}

// await blocks until there is a question. It fails when the client leaves before, and reports false when there will
// be none.
func (l *login) await(asks <-chan struct{}) (asked bool, err error) {
	gone := make(chan struct{})
	defer l.watchClient(func() { close(gone) })()
	select {
	case _, asked = <-asks:
		return asked, nil
	case <-gone:
		return false, errLeft()
	}
}

// watchClient watches whether the client is there, while nobody reads from it. gone is called when it is not. One that
// has only ended its side is answered, as PostgreSQL does, but holds up nobody.
func (l *login) watchClient(gone func()) (stop func()) {
	return hangup.Watch(l.client.Conn, l.client.r.Buffered() > 0, func(n hangup.News) {
		switch n {
		case hangup.Closed:
			l.on(Left)
		case hangup.Gone:
			gone()
		}
	})
}

func errLeft() error {
	return &SideError{Side: Client, Err: errors.New("left while it waited for the log-in")}
}

// wake makes the reader of the primary fail.
func (l *login) wake() { _ = l.upstream.SetReadDeadline(deadline.Past()) }

// arm gives the client until the deadline to answer. It reports false when answers is to end.
func (l *login) arm() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		_ = l.client.SetReadDeadline(l.deadline)
	}
	return !l.stopped
}

func (l *login) isStopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// stopAnswers ends answers, which may be waiting for an answer that nobody needs any more. Its error
// counts unless it only says that it was stopped.
func (l *login) stopAnswers() error {
	if l.asks == nil {
		return nil
	}
	close(l.asks)
	l.asks = nil
	select {
	case err := <-l.done:
		return err
	default:
	}
	l.mu.Lock()
	l.stopped = true
	_ = l.client.SetReadDeadline(deadline.Past())
	l.mu.Unlock()
	err := <-l.done
	_ = l.client.SetReadDeadline(time.Time{})
	return err
}
