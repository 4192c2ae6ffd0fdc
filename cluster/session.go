package cluster

import (
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// attachAgain is the time after which a session without a vote asks again. A report comes at least every
	// wal_receiver_status_interval, 10 s by default, and asking costs a lock.
	attachAgain = time.Second
	// statesFor is the time for which an answer of State is reused, so that a list of many sessions computes it once.
	statesFor = 100 * time.Millisecond
)

// Session is the handle of one standby's session that this node serves. It votes from its first report on: before that
// it has nothing to vote with. Any goroutine may call its methods, but see Report.
type Session struct {
	n    *Node
	name string

	incarnation atomic.Uint64 // 0: it does not vote
	tried       time.Time     // when there were too many sessions for it to vote; of Report
}

// Session returns a handle for one standby's session. name is its application_name as the standby gave it. The session
// takes no room in the ledger before its first report.
func (n *Node) Session(name string) *Session { return &Session{n: n, name: name} }

// Report takes positions that the standby reported at the time at for timeline t, and sent, the end of the WAL of t
// that was sent to it; see [ledger.Ack]. Calls must not overlap.
func (s *Session) Report(at time.Time, t lsn.TimelineID, sent lsn.LSN, said lsn.Progress, streaming bool) {
	id := s.incarnation.Load()
	if id == 0 && at.Sub(s.tried) >= attachAgain {
		id = s.n.Attach(s.name)
		s.tried = at
		s.incarnation.Store(id)
	}
	if id == 0 {
		return
	}
	s.n.Ack(ledger.Ack{Incarnation: id, At: at, Timeline: t, Sent: sent, Progress: said, Streaming: streaming})
}

// Counts reports whether a rule in use, of this node or of a member, names the standby.
func (s *Session) Counts() bool { return s.n.Counted(s.name) }

// Doubted says that this session may be a remainder: a younger session of its name has come, and since then the standby
// here is asked to answer. silent is the time of its last message, and host the address of its client, "" for a unix
// socket. The next Report ends the doubt.
func (s *Session) Doubted(since, silent time.Time, host string) {
	if id := s.incarnation.Load(); id != 0 {
		s.n.doubted(id, since, vote.Silence{Since: silent, Host: host})
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

// states holds the sync states of all sessions, as they were at the time at.
type states struct {
	at  time.Time
	all map[uint64]Voter
}

// recentStates returns the sync states of all sessions, by incarnation. They are at most statesFor old.
func (n *Node) recentStates(now time.Time) map[uint64]Voter {
	if s := n.states.Load(); s != nil && now.Sub(s.at) < statesFor {
		return s.all
	}
	all := n.SyncStates()
	n.states.Store(&states{now, all})
	return all
}
