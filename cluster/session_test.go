package cluster

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// say is a standby that has nothing yet.
func say(s *Session, now time.Time) { s.Report(now, 0, 0, lsn.Progress{}, false) }

// TestVoteComesLater: a session that came when there were too many votes later, without a new connection.
func TestVoteComesLater(t *testing.T) {
	n, now := newNode(t, "", newFakeStore(100)), time.Now()
	var all []*Session
	for range vote.MaxSessions { // one is this node's store's
		s := n.Session("s")
		say(s, now)
		all = append(all, s)
	}
	votes := func(s *Session) bool { return s.incarnation.Load() != 0 }
	late := n.Session("s")
	if say(late, now); votes(late) {
		t.Fatal("there is room for one more than vote.MaxSessions")
	}
	all[0].Release()
	if say(late, now.Add(attachAgain-1)); votes(late) {
		t.Error("tried again at once")
	}
	if say(late, now.Add(attachAgain)); !votes(late) {
		t.Error("never tried again")
	}
}

// TestSessionState: a handle's state is that of its session, and no vote is Async.
func TestSessionState(t *testing.T) {
	n := newNode(t, "FIRST 1 (s1, s2)", newFakeStore(100))
	s1, s2, s3 := n.Session("s1"), n.Session("s2"), n.Session("s2")
	for _, s := range []*Session{s1, s2} {
		s.Report(time.Now(), 1, 90, lsn.Progress{Write: 90, Flush: 90, Apply: 90}, true)
	}
	for _, c := range []struct {
		s        *Session
		state    string
		priority int
	}{{s1, Sync, 1}, {s2, Potential, 2}, {s3, Async, 0}} {
		if state, priority := c.s.State(); state != c.state || priority != c.priority {
			t.Errorf("%s: %s %d, want %s %d", c.s.name, state, priority, c.state, c.priority)
		}
	}
	s3.Release() // it never voted
}
