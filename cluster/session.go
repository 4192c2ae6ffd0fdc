package cluster

import (
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
)

const (
	// attachAgain is the pause after which a session without a vote asks again. A report comes at least every
	// wal_receiver_status_interval, 10 s by default, and asking costs a lock.
	attachAgain = time.Second
	// statesFor is the time for which an answer of State is reused, so that a list of many sessions computes it once.
	statesFor = 100 * time.Millisecond
)

// Session is the handle of one standby's session that this node serves. It votes from its first report on: before that
// it has nothing to vote with.
type Session struct {
	n    *Node
	name string

	incarnation atomic.Uint64 // 0: it does not vote
	tried       time.Time     // when there were too many sessions for it to vote; of Report
}

// Session makes a handle, which costs nothing before its first report. name is the application_name as it was given.
func (n *Node) Session(name string) *Session { return &Session{n: n, name: name} }

// Report takes what the standby says at now. The handle's own incarnation stands for that of a; Received is filled in.
// Calls must not overlap.
func (s *Session) Report(now time.Time, a ledger.Ack) {
	id := s.incarnation.Load()
	if id == 0 && now.Sub(s.tried) >= attachAgain {
		id = s.n.Attach(s.name)
		s.tried = now
		s.incarnation.Store(id)
	}
	if id == 0 {
		return
	}
	a.Incarnation, a.At = id, now
	s.n.Ack(a)
}

// Counts reports whether a rule of a member counts the name.
func (s *Session) Counts() bool { return s.n.Counted(s.name) }

// Doubted says that the session is asked, since then, whether its standby has left it for a younger one of its name. A
// Report that came after ends that.
func (s *Session) Doubted(since time.Time, silent vote.Silence) {
	if id := s.incarnation.Load(); id != 0 {
		s.n.doubted(id, since, silent)
	}
}

// State returns sync_state and sync_priority, at most statesFor old. A session that does not vote is Async, 0.
func (s *Session) State() (state string, priority int) {
	id := s.incarnation.Load()
	if id == 0 {
		return Async, 0
	}
	v, known := s.n.recentStates(time.Now())[id]
	if !known {
		return Async, 0
	}
	return v.SyncState, v.Priority
}

// Release ends the session. It is called once, when no Report runs and none comes any more.
func (s *Session) Release() {
	if id := s.incarnation.Load(); id != 0 {
		s.n.Gone(id)
	}
}

// states are those of all sessions at one time.
type states struct {
	at  time.Time
	all map[uint64]Voter
}

// recentStates returns the states of all sessions, computed anew when they are older than statesFor.
func (n *Node) recentStates(now time.Time) map[uint64]Voter {
	if s := n.states.Load(); s != nil && now.Sub(s.at) < statesFor {
		return s.all
	}
	all := n.SyncStates()
	n.states.Store(&states{now, all})
	return all
}
