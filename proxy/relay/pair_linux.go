package relay

import (
	"fmt"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pair is one session in a loop: two sockets and two flows.
type pair struct {
	client, upstream end
	in, out          flow // to the client, to the primary
	over             bool
	ended            func(Side)    // see Options.OnEnd
	broken           error         // the primary stopped taking, but may still speak
	half             chan struct{} // closed when the primary has ended or stopped taking
	halved           bool
	done             chan struct{} // closed when over; err is set then
	err              error
}

// end is one socket.
type end struct {
	pair    *pair
	side    Side
	fd      int
	tcp     bool
	hup     bool  // the peer has ended: read on until EOF
	wantOut bool  // epoll reports room for writing
	in, out *flow // from the socket, to the socket
}

// flow is one direction. Bytes that dst does not take yet are in pending or in the pipe, and while
// there are some nothing more is read: memory is bounded by one buffer.
type flow struct {
	src, dst *end
	count    *atomic.Int64
	pending  []byte
	pipe     *pipe // bulk mode
	readable bool  // src may have bytes
	eof      bool  // src has ended
	done     bool
	queued   bool // in loop.again
}

// waits reports bytes that wait for dst.
func (f *flow) waits() bool { return len(f.pending) > 0 || f.pipe.bytes() > 0 }

func newPair(clientFD, upstreamFD int, clientTCP, upstreamTCP bool, o *Options) *pair {
	p := &pair{half: make(chan struct{}), done: make(chan struct{}), ended: o.OnEnd}
	p.client = end{pair: p, side: Client, fd: clientFD, tcp: clientTCP, in: &p.out, out: &p.in}
	p.upstream = end{pair: p, side: Primary, fd: upstreamFD, tcp: upstreamTCP, in: &p.in, out: &p.out}
	p.in = flow{src: &p.upstream, dst: &p.client, count: o.ToClient, readable: true}
	p.out = flow{src: &p.client, dst: &p.upstream, count: o.FromClient, readable: true}
	return p
}

// begin registers both sockets and moves what is there already.
func (l *loop) begin(p *pair) {
	for _, e := range []*end{&p.client, &p.upstream} {
		l.ends[int32(e.fd)] = e
		if err := l.interest(unix.EPOLL_CTL_ADD, e); err != nil {
			l.end(p, err)
			return
		}
	}
	l.guard(p, &p.out)
	if !p.over {
		l.guard(p, &p.in)
	}
}

// interest tells epoll what to report of e.
func (l *loop) interest(op int, e *end) error {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff)
	if e.wantOut {
		events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.ep, op, e.fd, &unix.EpollEvent{Events: events, Fd: int32(e.fd)}); err != nil {
		return fmt.Errorf("relay: epoll_ctl: %w", err)
	}
	return nil
}

// pump moves a flow until there is nothing to read, no room to write, or its turn is over.
func (l *loop) pump(f *flow) {
	for reads := 0; !f.src.pair.over && !f.done; reads++ {
		if f.waits() && !l.drain(f) {
			return
		}
		switch {
		case f.eof:
			l.finish(f)
			return
		case !f.readable:
			return
		case reads == turnReads:
			if !f.queued {
				f.queued = true
				l.again = append(l.again, f)
			}
			return
		case f.pipe != nil:
			l.splice(f)
		default:
			l.read(f)
		}
	}
}

// read moves one bufferful. A short read of a TCP socket has emptied it: the next bytes, or the end,
// raise another edge.
func (l *loop) read(f *flow) {
	n, err := rawRead(f.src.fd, l.buf)
	switch {
	case err == unix.EAGAIN:
		f.readable = false
		return
	case err == unix.EINTR:
		return
	case err != nil:
		l.fail(f, f.src.side, fmt.Errorf("read: %w", err))
		return
	case n == 0:
		f.eof = true
		return
	}
	f.count.Add(int64(n))
	if n < len(l.buf) {
		f.readable = !f.src.tcp || f.src.hup
	} else {
		l.bulk(f)
	}
	m, err := rawWrite(f.dst.fd, l.buf[:n])
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		l.fail(f, f.dst.side, fmt.Errorf("write: %w", err))
		return
	}
	if m = max(m, 0); m < n {
		f.pending = append(f.pending, l.buf[m:n]...)
		l.want(f.dst, true)
	}
}

// drain writes the bytes that wait for dst; false when some of it still waits or the flow is over.
func (l *loop) drain(f *flow) bool {
	for len(f.pending) > 0 {
		n, err := rawWrite(f.dst.fd, f.pending)
		if !l.wrote(f, err) {
			return false
		}
		f.pending = f.pending[max(n, 0):]
	}
	f.pending = nil
	for f.pipe.bytes() > 0 {
		if !l.wrote(f, f.pipe.out(f.dst.fd)) {
			return false
		}
	}
	l.want(f.dst, false)
	return true
}

// wrote judges the result of a write; false ends the attempt.
func (l *loop) wrote(f *flow, err error) bool {
	switch err {
	case nil, unix.EINTR:
		return true
	case unix.EAGAIN:
		l.want(f.dst, true)
	default:
		l.fail(f, f.dst.side, fmt.Errorf("write: %w", err))
	}
	return false
}

func (l *loop) want(e *end, out bool) {
	if e.wantOut == out {
		return
	}
	e.wantOut = out
	if err := l.interest(unix.EPOLL_CTL_MOD, e); err != nil {
		l.end(e.pair, err)
	}
}

// end closes both sockets, once; a later call does nothing. The session's Run returns err. It is called on the loop's
// goroutine.
func (l *loop) end(p *pair, err error) {
	if p.over {
		return
	}
	p.over, p.err = true, err
	for _, e := range []*end{&p.client, &p.upstream} {
		l.debulk(e.in)
		e.in.pending = nil
		delete(l.ends, int32(e.fd))
		_ = unix.Close(e.fd) // the last descriptor of the socket: epoll forgets it
	}
	close(p.done)
}

// socket reports whether c is a plain socket, and of which kind.
func socket(c net.Conn) (plain, tcp bool) {
	switch u := c.(type) {
	case *net.TCPConn:
		return true, true
	case *net.UnixConn:
		return u.LocalAddr().Network() == "unix", false
	}
	return false, false
}
