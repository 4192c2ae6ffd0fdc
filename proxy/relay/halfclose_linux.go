package relay

import (
	"golang.org/x/sys/unix"
)

// finish passes the end of src on by shutdown(SHUT_WR), while the other direction goes on.
func (l *loop) finish(f *flow) {
	p := f.src.pair
	f.done = true
	p.ended(f.src.side)
	_ = unix.Shutdown(f.dst.fd, unix.SHUT_WR) // the peer may be gone already
	l.debulk(f)
	switch {
	case p.in.done && p.out.done:
		l.end(p, p.broken)
	case p.in.done:
		p.halve()
	}
}

// fail ends the session, except that a primary which takes nothing more may still have said why.
func (l *loop) fail(f *flow, side Side, err error) {
	p := f.src.pair
	err = &SideError{Side: side, Err: err}
	if f == &p.out && side == Primary && !p.in.done {
		f.done, p.broken = true, err
		l.debulk(f)
		p.halve()
		return
	}
	l.end(p, firstOf(p, err))
}

// firstOf returns the error that ended p: err, unless the primary had ended or broken before.
func firstOf(p *pair, err error) error {
	switch {
	case p.in.done:
		return nil // the primary had ended in order
	case p.broken != nil:
		return p.broken
	}
	return err
}

// halve begins the time that the client has to end, too (endTimeout).
func (p *pair) halve() {
	if !p.halved {
		p.halved = true
		close(p.half)
	}
}
