package proxy

import (
	"fmt"
	"net"
	"testing"

	"github.com/replproxy/replproxy/handshake"
)

// TestPerAddress: one address, or one network of IPv6, has its share; this machine has no such limit.
func TestPerAddress(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, tc := range []struct {
		a, b   net.Addr
		shared bool
	}{
		{tcp("10.0.0.1"), tcp("10.0.0.1"), true},
		{tcp("10.0.0.1"), tcp("::ffff:10.0.0.1"), true},
		{tcp("10.0.0.1"), tcp("10.0.0.2"), false},
		{tcp("2001:db8::1"), tcp("2001:db8::2:1"), true},
		{tcp("2001:db8::1"), tcp("2001:db8:0:1::1"), false},
		{tcp("127.0.0.1"), tcp("127.0.0.1"), false},
		{tcp("::1"), tcp("::1"), false},
		{&net.UnixAddr{Net: "unix"}, &net.UnixAddr{Net: "unix"}, false},
	} {
		table, limits := newSessions(0), Limits{MaxConnections: 10, MaxPerAddress: 1}
		first := &Session{clientAddr: tc.a, class: handshake.Regular}
		second := &Session{clientAddr: tc.b, class: handshake.PhysicalWalsender}
		if _, e := table.add(first, limits); e != nil {
			t.Fatal(e)
		}
		why, e := table.add(second, limits)
		if (e != nil) != tc.shared || e != nil && why != ReasonAddress {
			t.Errorf("%v and %v: %v, %v", tc.a, tc.b, why, e)
		}
		if e == nil {
			table.remove(second)
		}
		table.remove(first)
		if _, e := table.add(second, limits); e != nil || len(table.from) > 1 {
			t.Errorf("%v after %v: %v, %v", tc.b, tc.a, e, table.from)
		}
	}
}

// TestCrowdDropsItsOwn: beyond the limit of silent connections the address with most of them pays.
func TestCrowdDropsItsOwn(t *testing.T) {
	s := starting{limit: 4}
	enter := func(ip string) (*closing, func() bool) {
		c := &closing{addr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return c, s.enter(c)
	}
	honest, leave := enter("10.0.0.1")
	var crowd []*closing
	for range 20 {
		c, _ := enter("10.0.0.2")
		crowd = append(crowd, c)
	}
	if honest.closed || !crowd[0].closed || crowd[19].closed || s.conns.Len() != 4 {
		t.Errorf("honest %v, crowd %v, %d left", honest, fmt.Sprint(crowd[0], crowd[19]), s.conns.Len())
	}
	stayed := leave()
	if again := leave(); !stayed || !again || s.conns.Len() != 3 || s.conns.Of(origin(honest.addr)) != 0 {
		t.Errorf("after leave: %d", s.conns.Len())
	}
}

// TestRoomIsMadeByTheCrowd: when descriptors run short the address pays that has most, of connections in startup and of
// sessions that have not logged in together. Of one address it is the kind of which there are more.
func TestRoomIsMadeByTheCrowd(t *testing.T) {
	for _, tc := range []struct {
		name             string
		silent, unproven int // of the crowd
		honest           string
		honestSilent     bool
	}{
		{"a slow client and a crowd of log-ins", 0, 20, "10.0.0.1", true},
		{"a slow client and a crowd of both", 10, 10, "10.0.0.1", true},
		{"a log-in and a crowd without startup packets", 20, 0, "10.0.0.1", false},
		{"a slow client of the crowd's own address", 0, 20, "10.0.0.2", true},
		{"a log-in of the crowd's own address", 20, 0, "10.0.0.2", false},
	} {
		s := &Server{starting: starting{limit: 100}, sessions: newSessions(0)}
		enter := func(ip string, silent bool) *closing {
			c := &closing{addr: &net.TCPAddr{IP: net.ParseIP(ip)}}
			if silent {
				s.starting.enter(c)
				return c
			}
			session := &Session{clientAddr: c.addr, conn: c, class: handshake.Regular, giveWay: func() {}}
			if _, e := s.sessions.add(session, Limits{MaxConnections: 100, MaxPerAddress: 100}); e != nil {
				t.Fatal(e)
			}
			return c
		}
		honest := enter(tc.honest, tc.honestSilent)
		for range tc.silent {
			enter("10.0.0.2", true)
		}
		for range tc.unproven {
			enter("10.0.0.2", false)
		}
		for range tc.silent + tc.unproven - 1 { // one of the crowd stays
			if !s.MakeRoom() {
				t.Fatalf("%s: no room", tc.name)
			}
		}
		if honest.closed {
			t.Errorf("%s: the honest one made room", tc.name)
		}
	}
	empty := &Server{sessions: newSessions(0)}
	if empty.MakeRoom() {
		t.Error("nobody made room")
	}
}

type closing struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (c *closing) RemoteAddr() net.Addr { return c.addr }
func (c *closing) Close() error         { c.closed = true; return nil }
