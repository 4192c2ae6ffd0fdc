package link

import (
	"context"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

// A member that comes back is connected to as soon as it is heard, however long the pause would still be.
func TestHeardMemberIsDialledAtOnce(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	s := newSender(a.Link, b.peer()) // one that pauses after a failure
	a.Link.mu.Lock()
	a.senders["proxy_b"] = s
	a.Link.mu.Unlock()
	rested := make(chan bool, 1)
	go func() { rested <- s.rest(t.Context(), 2*longWait) }()
	b.phone.set(a.peer())
	select {
	case early := <-rested:
		if !early {
			t.Error("the pause was not ended by what was heard")
		}
	case <-time.After(longWait):
		t.Fatal("the member was heard, and the sender still waits")
	}
}

// Whoever is connected needs no nudge, and a pause ends with its context.
func TestRestWithoutANudge(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	a := start(t, na, identitytest.Members(t, na, nb))
	s := newSender(a.Link, Peer{Name: "proxy_b"})
	a.Link.mu.Lock()
	a.senders["proxy_b"], s.up = s, true
	a.Link.mu.Unlock()
	a.dialAgain("proxy_b")
	a.dialAgain("nobody")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.rest(ctx, longWait) {
		t.Error("a connected sender was nudged")
	}
}
