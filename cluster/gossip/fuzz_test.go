package gossip

import (
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
)

// FuzzPackets is a peer that holds the shared key: what it sends is decrypted already. Properties: nothing breaks,
// and nobody who was not configured is taken for a member.
func FuzzPackets(f *testing.F) {
	na, nb := identitytest.Node(f, "proxy_a"), identitytest.Node(f, "proxy_b")
	m := identitytest.Members(f, na, nb)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	g, err := New(Options{Node: na, Members: m, Listener: link.NewListener(l, na, m, log), Packets: udp, Keys: &Keys{}, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Transport = na.Name, g.transport
	c.AdvertiseAddr, c.AdvertisePort = "127.0.0.1", 1
	c.EnableCompression, c.RequireNodeNames = false, false
	c.Events, c.Alive, c.LogOutput = events{g}, alive{g}, newLogWriter(log)
	c.GossipInterval, c.ProbeInterval, c.PushPullInterval = 0, 0, 0 // it only listens
	list, err := memberlist.Create(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = list.Shutdown()
		_ = g.transport.Shutdown()
		_ = l.Close()
	})
	for kind := range 14 { // of memberlist: ping, indirect ping, ack, suspect, alive, dead, …
		f.Add(append([]byte{byte(kind)}, "\x84\xa4Addr\xa4\x7f\x00\x00\x01\xabIncarnation\x01\xa4Node\xa7proxy_x\xa4Port\xcd\x1f\x90"...))
		f.Add([]byte{byte(kind)})
	}
	f.Add([]byte{7, 2, 0, 1, 0, 1, 4, 5})
	names := []string{na.Name, nb.Name}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > maxPacket {
			return
		}
		g.transport.packets <- &memberlist.Packet{Buf: b, From: udp.LocalAddr(), Timestamp: time.Now()}
		for _, p := range g.Live() {
			if !slices.Contains(names, p.Name) {
				t.Fatalf("%q is up", p.Name)
			}
		}
	})
}
