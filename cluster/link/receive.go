package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// readBuffer holds the acks of a busy moment.
const readBuffer = 32 << 10

// receive serves one connection of a member, and blocks until that ends, or ctx. It logs why.
func (l *Link) receive(ctx context.Context, peer string, version int, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	err := l.hear(ctx, peer, version, conn)
	switch {
	case ctx.Err() != nil, errors.Is(err, errReplaced):
		return
	case errors.Is(err, io.EOF):
		l.Logger.Info("a member closed its connection", "member", peer)
		return
	}
	var ne net.Error
	if !errors.As(err, &ne) && !errors.Is(err, errClash) {
		l.mu.Lock()
		l.garbled++
		l.mu.Unlock()
		l.understood(peer, err.Error())
	}
	l.Logger.Warn("ended a member's connection", "member", peer, "from", conn.RemoteAddr(), "err", err)
}

// understood notes why a peer could not be understood; "": it was.
func (l *Link) understood(peer, strange string) {
	p := l.peer(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.strange = strange
}

func (l *Link) hear(ctx context.Context, peer string, version int, conn net.Conn) error {
	if peer == l.Node.Name {
		return fmt.Errorf("%w: it has our own name and key", errClash)
	}
	in := &reader{r: bufio.NewReaderSize(conn, readBuffer), version: version}
	if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	hello, err := in.next()
	if err != nil {
		return err
	}
	if hello.typ != frameHello || hello.run == 0 {
		return fmt.Errorf("%w: type %q instead of hello", ErrGarbled, hello.typ)
	}
	p := l.peer(peer)
	me, err := l.take(ctx, peer, version, p, hello.run)
	if err != nil {
		return err
	}
	defer l.leave(peer, p, hello.run, me)
	if err := write(conn, appendHello(nil, version, l.run)); err != nil {
		return err
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); beatUntil(stop, conn) }()
	defer func() { close(stop); _ = conn.Close(); <-ended }()
	l.Logger.Info("hearing a member", "member", peer, "from", conn.RemoteAddr(), "message_version", version)
	l.dialAgain(peer)
	c := &conversation{link: l, peer: peer, version: version, in: p, me: me}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		f, err := in.next()
		if err != nil {
			return err
		}
		if err := c.take(f); err != nil {
			return err
		}
	}
}

// take waits until this connection may speak for the peer, and says that it does.
func (l *Link) take(ctx context.Context, peer string, version int, p *inbound, run uint64) (me uint64, err error) {
	l.mu.Lock()
	l.conns++
	me = l.conns
	l.mu.Unlock()
	deadline := time.Now().Add(silence + time.Second)
	for {
		switch l.arrive(peer, version, p, run, me) {
		case admitted:
			return me, nil
		case conflict:
			return 0, errClash
		}
		sleep(ctx, heartbeat/4)
		if ctx.Err() != nil || time.Now().After(deadline) {
			l.leave(peer, p, run, me)
			return 0, errReplaced
		}
	}
}

func (l *Link) arrive(peer string, version int, p *inbound, run, me uint64) admission {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	v := l.registry.arrive(time.Now(), peer, run, me)
	if v == admitted {
		p.version = version
	}
	l.mu.Unlock()
	if v == admitted {
		l.Sink.Up(peer, version)
	}
	return v
}

func (l *Link) leave(peer string, p *inbound, run, me uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	silent := l.registry.leave(peer, run, me)
	if silent {
		p.heard, p.version = time.Time{}, 0
	}
	l.mu.Unlock()
	if silent {
		l.Sink.Down(peer)
	}
}

// speak says that something came, and whether it counts. The peer's lock is held.
func (l *Link) speak(peer string, p *inbound, me uint64) error {
	now := time.Now()
	l.mu.Lock()
	v := l.registry.speak(now, peer, me)
	switch v {
	case admitted:
		p.heard, p.last = now, now
	case conflict:
		l.clashes++
	}
	l.mu.Unlock()
	switch v {
	case conflict:
		clear(p.known)
		l.Sink.Conflict(peer)
		return errClash
	case replaced:
		return errReplaced
	}
	l.Sink.Heard(peer)
	return nil
}

// conversation handles the frames of one connection after hello.
type conversation struct {
	link    *Link
	peer    string
	version int
	in      *inbound
	me      uint64
	fresh   map[ID]bool // what the running snapshot has; nil: none is running
}

// take passes one frame on, to the sink or to what is counted. An error ends the connection: [ErrGarbled], or another
// proxy has the name.
func (c *conversation) take(f frame) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if err := c.link.speak(c.peer, c.in, c.me); err != nil {
		return err
	}
	known, sink := c.in.known, c.link.Sink
	switch f.typ {
	case frameHeartbeat:
	case frameBegin:
		c.fresh = map[ID]bool{}
	case frameItem:
		if known[f.id] = true; len(known) > 2*MaxItems { // the last snapshot's and the next one's
			return fmt.Errorf("%w: more than %d items", ErrGarbled, MaxItems)
		}
		if c.fresh != nil {
			c.fresh[f.id] = true
		}
		if err := sink.Item(c.peer, c.version, f.id, f.payload); err != nil {
			return fmt.Errorf("%w: %w", ErrGarbled, err)
		}
	case frameDelete:
		delete(known, f.id)
		sink.Gone(c.peer, f.id)
	case frameEnd:
		if c.fresh == nil {
			return fmt.Errorf("%w: end without beginning", ErrGarbled)
		}
		for id := range known {
			if !c.fresh[id] {
				delete(known, id)
				sink.Gone(c.peer, id)
			}
		}
		c.fresh = nil
		c.link.understood(c.peer, "")
	default:
		if lenient(c.version) && f.typ != frameHello {
			return nil
		}
		return fmt.Errorf("%w: unexpected type %q", ErrGarbled, f.typ)
	}
	return nil
}

// beatUntil tells the sender that it is heard.
func beatUntil(stop <-chan struct{}, conn net.Conn) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	b := appendFrame(nil, frameHeartbeat, nil)
	for {
		if write(conn, b) != nil {
			_ = conn.Close()
			return
		}
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
}
