package link

import (
	"context"
	"net"
	"sync"
)

// ProtocolListener is the net.Listener of one protocol: it accepts the connections that members open for it at a
// [Listener]. Its connections are of type *[Member].
type ProtocolListener struct {
	listener *Listener
	conns    chan *Member
	closed   chan struct{}
	close    func()
}

// Listen serves a protocol, before the listener runs.
func (d *Listener) Listen(protocol string) *ProtocolListener {
	l := &ProtocolListener{listener: d, conns: make(chan *Member), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	d.Handle(protocol, l.receive)
	return l
}

// receive offers a connection to Accept and waits for its end, because the listener closes it then. It returns at once
// when the listener of the protocol is closed or ctx ends.
func (l *ProtocolListener) receive(ctx context.Context, peer string, conn net.Conn) {
	over := make(chan struct{})
	m := &Member{Conn: conn, name: peer, end: sync.OnceFunc(func() { close(over) })}
	select {
	case l.conns <- m:
	case <-l.closed:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// Accept waits for the next connection.
func (l *ProtocolListener) Accept() (net.Conn, error) {
	select {
	case m := <-l.conns:
		return m, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. Connections that were accepted go on.
func (l *ProtocolListener) Close() error {
	l.close()
	return nil
}

// Addr returns the listener's address.
func (l *ProtocolListener) Addr() net.Addr { return l.listener.Addr() }
