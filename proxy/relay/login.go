package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/wire"
)

// maxQueuedAsks bounds the questions that wait for an answer. A server asks one at a time; GSS may
// end with one that needs none.
const maxQueuedAsks = 4

// loginFlush bounds the part of a log-in that is written at once: all of an honest one's. A primary that talks without
// pause costs no more memory, and its client sees it.
const loginFlush = 32 << 10

// login is the exchange between the startup packet and ReadyForQuery. run owns reading from the
// primary, answers owns reading from the client.
type login struct {
	client, upstream *leg
	watch            *authwatch.Watch
	timeout          time.Duration // of a write to the client
	deadline         time.Time     // of the client's answers: authentication_timeout ends with authentication
	onKey            func(pid uint32, key []byte)
	on               func(Event)          // never nil
	again            func() bool          // nil: whatever the primary says is passed on
	failure          func(*pgerror.Error) // hears a refusal before the client does; may be nil
	params           parameters           // what the primary reports

	out   []byte        // frames for the client, not yet written
	begun bool          // the client knows of this primary
	asks  chan struct{} // one per question; nil once answers was stopped
	done  chan error    // the end of answers

	mu      sync.Mutex // guards the client's read deadline and stopped
	stopped bool       // answers is to end
}

// run passes frames until ReadyForQuery (nil), the primary's own refusal (*RefusedError), or a
// failure. The client's deadline is the caller's to clear.
func (l *login) run() error {
	l.asks, l.done = make(chan struct{}, maxQueuedAsks), make(chan error, 1)
	go func(asks <-chan struct{}) { l.done <- Contained(func() error { return l.answers(asks) }) }(l.asks)
	err := l.frames()
	if stopped := l.stopAnswers(); stopped != nil {
		return stopped // answers failed first and made the read from the primary fail
	}
	return err
}

func (l *login) frames() (failed error) {
	for {
		typ, body, err := l.next(l.asks == nil, nil)
		if err != nil {
			return err
		}
		step, body, err := l.watch.FromUpstream(typ, body)
		if err != nil {
			return &RefusedError{Err: pgerror.From(err).AsFatal(), listening: true}
		}
		if step == authwatch.Authenticated && l.asks != nil {
			// From here on what the client sends is no answer.
			if err := l.stopAnswers(); err != nil {
				return err
			}
			l.on(Authenticated)
			defer l.endIfLeft()(&failed)
		}
		if typ == 'K' && len(body) > 4 && l.onKey != nil {
			l.onKey(binary.BigEndian.Uint32(body), body[4:])
		}
		if typ == 'S' {
			l.params.note(body)
		}
		if step == authwatch.Refused && l.failure != nil {
			if e, ok := wire.ParseError(body); ok {
				l.failure(e)
			}
		}
		l.out = wire.AppendFrame(l.out, typ, body)
		waits := step != authwatch.Pass && step != authwatch.Authenticated // for the client
		if waits || l.begun && l.upstream.r.Buffered() == 0 || len(l.out) >= loginFlush {
			if err := l.flush(); err != nil {
				return err
			}
		}
		switch step {
		case authwatch.Ready:
			return nil
		case authwatch.Refused:
			e, _ := wire.ParseError(body)
			return &RefusedError{Err: e, Told: true}
		case authwatch.Ask:
			l.on(Asked)
			select {
			case l.asks <- struct{}{}:
			default:
				return &RefusedError{Err: pgerror.Fatal(pgerror.ProtocolViolation,
					"the primary sent too many authentication requests")}
			}
		}
	}
}

// next returns the primary's next message. Once the client has authenticated, large ones are passed on before it.
// refused hears that one of these was an error; it may be nil. The error is the log-in's: [ErrAgain] before the client
// knows of the primary, or what the client is to be told.
func (l *login) next(authenticated bool, refused func()) (typ byte, body []byte, err error) {
	for authenticated {
		typ, head, ok, err := l.large()
		if err != nil {
			return 0, nil, err
		}
		if !ok {
			break
		}
		if typ != 'E' {
			continue
		}
		if refused != nil {
			refused()
		}
		return 0, nil, largeRefusal(head)
	}
	typ, body, err = l.upstream.frame(authwatch.MaxQuestion)
	if !l.begun && l.again != nil && notYet(typ, body, err) && l.again() {
		return 0, nil, ErrAgain
	}
	if err != nil {
		return 0, nil, l.lost(err)
	}
	l.begun = l.begun || typ != 'v'
	return typ, body, nil
}

// endIfLeft ends the log-in when the client leaves while the primary prepares the session, which may take as long as
// it likes. The func that it returns ends the watch, and puts the client's end in place of what followed from it.
func (l *login) endIfLeft() (over func(*error)) {
	var left atomic.Bool
	stop := l.watchClient(func() {
		left.Store(true)
		l.wake()
	})
	return func(err *error) {
		stop()
		if left.Load() && isTimeout(*err) {
			*err = errLeft()
		}
	}
}

// notYet reports whether the first thing that a primary says, or that it hangs up without a word, means
// that it is starting up or shutting down.
func notYet(typ byte, body []byte, err error) bool {
	if err != nil {
		return !isTimeout(err) && !errors.Is(err, wire.ErrFrame)
	}
	if typ != 'E' {
		return false
	}
	e, ok := wire.ParseError(body)
	return ok && e.Code == pgerror.CannotConnectNow
}

// lost words the loss of the primary for the client.
func (l *login) lost(err error) error {
	e := errUnreachable.WithCause(err)
	switch {
	case isTimeout(err):
		e = e.WithDetail("The primary did not take the log-in in time.")
	case errors.Is(err, wire.ErrFrame):
		e = e.WithDetail("The primary sent a message with an impossible length.")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e = e.WithDetail("The primary closed the connection before the log-in was complete.")
	default:
		e = e.WithDetail("The connection to the primary was lost before the log-in was complete.")
	}
	return &RefusedError{Err: e}
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
