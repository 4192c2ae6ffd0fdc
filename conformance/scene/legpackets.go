package scene

import (
	"errors"
	"net"
	"testing"
	"time"
)

// maxPacket is the largest datagram.
const maxPacket = 64 << 10

// Packets passes datagrams through a leg too, from the same port. What a leg that stalls or has a hole is given is
// lost, as the network loses it.
func (g *Leg) Packets(t testing.TB) *Leg {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: g.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	to, err := net.ResolveUDPAddr("udp", g.to)
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]*net.UDPConn{}
	g.all.Go(func() {
		buf := make([]byte, maxPacket)
		for {
			n, from, err := socket.ReadFromUDP(buf)
			if err != nil {
				for _, w := range ways {
					_ = w.Close()
				}
				return
			}
			way := ways[from.String()]
			if way == nil {
				if way, err = net.DialUDP("udp", nil, to); err != nil {
					continue
				}
				ways[from.String()] = way
				g.all.Go(func() { g.back(socket, way, from) })
			}
			g.packet(buf[:n], func(b []byte) { _, _ = way.Write(b) })
		}
	})
	return g
}

// back passes answers.
func (g *Leg) back(socket, way *net.UDPConn, to *net.UDPAddr) {
	buf := make([]byte, maxPacket)
	for {
		n, err := way.Read(buf)
		if err == nil {
			g.packet(buf[:n], func(b []byte) { _, _ = socket.WriteToUDP(b, to) })
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		time.Sleep(time.Millisecond) // nobody listens there for now
	}
}

// packet sends after the leg's delay, or loses.
func (g *Leg) packet(b []byte, send func([]byte)) {
	g.mu.Lock()
	w := g.weather
	lost := w.Stall || w.Hole || g.ended
	g.mu.Unlock()
	if lost {
		return
	}
	kept := append([]byte(nil), b...)
	if w.Delay == 0 {
		send(kept)
		return
	}
	time.AfterFunc(w.Delay, func() { send(kept) })
}
