package gossip

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/replproxy/replproxy/cluster/identity"
)

const (
	// streamProtocol is the ALPN name of memberlist's streams.
	streamProtocol = "replproxy-gossip/1"
	maxPacket      = 64 << 10 // a UDP datagram
	readDelay      = 10 * time.Millisecond
)

// transport carries packets by UDP and streams by the listener. memberlist owns the ends of its channels. Make it with
// newTransport.
type transport struct {
	node    *identity.Node
	members *identity.Members
	udp     net.PacketConn
	ip      net.IP
	port    int
	packets chan *memberlist.Packet
	streams chan net.Conn
	stopped chan struct{}
	once    sync.Once

	mu  sync.Mutex
	ctx context.Context // of dials: memberlist gives none
}

func newTransport(o Options, ip net.IP, port int) *transport {
	return &transport{
		node: o.Node, members: o.Members, udp: o.Packets, ip: ip, port: port,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		stopped: make(chan struct{}), ctx: context.Background(),
	}
}

// start reads packets until the returned function is called.
func (t *transport) start(ctx context.Context) (stop func()) {
	dials, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the good-bye comes after ctx
	t.mu.Lock()
	t.ctx = dials
	t.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(t.read)
	return func() {
		cancel()
		_ = t.Shutdown()
		wg.Wait()
	}
}

func (t *transport) read() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := t.udp.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // an ICMP answer to something that we sent; should it last, not at full speed
			select {
			case <-time.After(readDelay):
			case <-t.stopped:
				return
			}
			continue
		case n == 0:
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case t.packets <- p:
		case <-t.stopped:
			return
		}
	}
}

// serve hands a member's stream to memberlist, which closes it.
func (t *transport) serve(ctx context.Context, _ string, conn net.Conn) {
	c := &stream{Conn: conn, closed: make(chan struct{})}
	defer c.Close()
	select {
	case t.streams <- c:
	case <-t.stopped:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-c.closed:
	case <-t.stopped:
	case <-ctx.Done():
	}
}

// stream tells when it was closed.
type stream struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return t.ip, t.port, nil }
func (t *transport) PacketCh() <-chan *memberlist.Packet                 { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn                           { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteTo(b, to)
	return time.Now(), err
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t *transport) DialTimeout(addr string, d time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, d)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, d time.Duration) (net.Conn, error) {
	t.mu.Lock()
	ctx, cancel := context.WithTimeout(t.ctx, d)
	t.mu.Unlock()
	defer cancel()
	dialer := tls.Dialer{Config: identity.Client(t.node, t.members, a.Name, streamProtocol)}
	return dialer.DialContext(ctx, "tcp", a.Addr)
}

func (t *transport) Shutdown() error {
	t.once.Do(func() {
		close(t.stopped)
		_ = t.udp.Close()
	})
	return nil
}
