package descriptors

import (
	"net"
	"testing"
)

// TestRoomIsBounded: strangers come one after the other and stay. Whenever it is tight the oldest is ended, whose low
// number the next one gets. No more are in use than clients may have, but for the few that come meanwhile.
func TestRoomIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const strangers, reserve = 60, 20
	began := countOpen()
	if began == 0 {
		t.Fatal("the system does not say what is open")
	}
	room := NewRoom(Budget{Limit: (began + strangers + reserve) * reservePart / (reservePart - 1)})
	clients := room.budget.Clients()
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	most, ended := 0, 0
	for range 4 * strangers {
		dialled, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = dialled.Close() // it is on this side only
		held = append(held, accepted)
		if room.Tight(accepted) {
			_ = held[0].Close()
			held, ended = held[1:], ended+1
		}
		most = max(most, countOpen())
	}
	if most > clients+3 || ended < strangers {
		t.Errorf("%d of %d were in use, and %d were ended", most, clients, ended)
	}
	for _, c := range held {
		_ = c.Close()
	}
	held = nil
	for range 3 { // the pressure is over
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if room.Tight(c) {
			t.Error("tight though all have gone")
		}
	}
}
