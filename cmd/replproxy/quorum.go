package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

// demand is the rule as it is configured, in the same words wherever the same is meant.
func demand(c *config.Config) vote.Demand {
	d := vote.Demand{Names: c.SynchronousStandbyNames, Spread: c.SynchronousStandbyZones.Rule}
	for _, z := range c.SynchronousStandbyZones.Zones {
		var voters []string
		for _, v := range z.Voters {
			voters = append(voters, vote.Fold(v))
		}
		slices.Sort(voters)
		d.Zones = append(d.Zones, vote.Zone{Name: z.Name, Voters: voters})
	}
	return d
}

// ownStore is the store as the cluster sees it.
type ownStore struct {
	store   *walstore.Store
	watch   *walstore.Watcher
	streams func() bool
	line    atomic.Pointer[line]
}

// line is what tells a timeline of a system from another one of its number. It never changes: a store refuses
// another one.
type line struct {
	system      lsn.SystemID
	timeline    lsn.TimelineID
	begun       lsn.LSN // from here on its first WAL is here
	print, mark uint64
	read        bool // mark is known, or will never be
}

// lineOf is the line of p; nothing while it has yet to be read how that begins, which is not done here.
func (s *ownStore) lineOf(system lsn.SystemID, p walstore.Positions) (print, mark uint64) {
	l := s.line.Load()
	if l == nil || l.system != system || l.timeline != p.Timeline {
		h := s.store.History()
		if h.Timeline != p.Timeline || p.Timeline == 0 {
			return 0, 0 // it is about to change
		}
		l = &line{system: system, timeline: p.Timeline, print: cluster.Line(h), read: h.Begin() == lsn.Invalid}
		l.begun = h.Begin() + walstore.BeginningSize
		s.line.Store(l)
	}
	if !l.read && p.Received >= l.begun {
		return 0, 0
	}
	return l.print, l.mark
}

// Learn reads how the timeline begins, once.
func (s *ownStore) Learn() {
	id, _ := s.store.Identity()
	s.lineOf(id.System, s.store.Positions())
	l := s.line.Load()
	if l == nil || l.read || s.store.Positions().Received < l.begun {
		return
	}
	known := *l
	known.mark, known.read = s.store.Beginning(), true
	if s.store.Positions().Timeline == l.timeline {
		s.line.CompareAndSwap(l, &known)
	}
}

func (s *ownStore) Positions() cluster.Positions {
	id, _ := s.store.Identity()
	p := s.store.Positions()
	repair, _ := s.store.Repairing() // after the positions: what is repaired since is received
	print, mark := s.lineOf(id.System, p)
	return cluster.Positions{
		System: id.System, Timeline: p.Timeline, Received: p.Received, Written: p.Written, Flushed: p.Flushed,
		Owed: max(repair.To, s.store.Promised().Owes), Line: print, Mark: mark,
	}
}

func (s *ownStore) Streams() bool { return s.streams() }

func (s *ownStore) Moved() <-chan struct{} { return s.watch.C() }

// reporterQuorum is the node as the walreceiver sees it.
type reporterQuorum struct{ *cluster.Node }

func (q reporterQuorum) Limits() walreceiver.Limits {
	p, ruled := q.Node.Limits()
	return walreceiver.Limits{Progress: p, Ruled: ruled}
}

// standbyAcks is the node as the hub sees it: it gives each session the incarnation under which it votes.
type standbyAcks struct {
	node *cluster.Node

	mu       sync.Mutex
	sessions map[int32]attached // by PID
}

// attached is a session's incarnation. 0: at tried there were too many sessions for it to vote.
type attached struct {
	id    uint64
	tried time.Time
}

// attachAgain is how long a session without a vote waits before it asks again: a report comes at least
// every wal_receiver_status_interval, 10 s by default, and asking costs a lock.
const attachAgain = time.Second

func newStandbyAcks(n *cluster.Node) *standbyAcks {
	return &standbyAcks{node: n, sessions: map[int32]attached{}}
}

// Ack attaches a session at its first report: before it, it has nothing to vote with.
func (s *standbyAcks) Ack(a fanout.Ack) {
	s.mu.Lock()
	x := s.sessions[a.PID]
	s.mu.Unlock()
	if x.id == 0 && a.At.Sub(x.tried) >= attachAgain {
		x = attached{s.node.Attach(a.Name), a.At}
		s.mu.Lock()
		s.sessions[a.PID] = x
		s.mu.Unlock()
	}
	if x.id == 0 {
		return
	}
	s.node.Ack(ledger.Ack{
		Incarnation: x.id, Timeline: a.Timeline, Sent: a.Sent,
		Progress:  lsn.Progress{Write: a.SaidWrite, Flush: a.Flush, Apply: a.Apply},
		Streaming: a.State == walsender.Streaming || a.State == walsender.Stopping,
	})
}

// Gone ends a session.
func (s *standbyAcks) Gone(pid int32) {
	s.mu.Lock()
	id := s.sessions[pid].id
	delete(s.sessions, pid)
	s.mu.Unlock()
	if id != 0 {
		s.node.Gone(id)
	}
}

// syncStates are what the rule makes of the sessions, by PID.
func (s *standbyAcks) syncStates() map[int32]fanout.SyncState {
	voters := s.node.SyncStates()
	s.mu.Lock()
	defer s.mu.Unlock()
	states := map[int32]fanout.SyncState{}
	for pid, x := range s.sessions {
		if v, ok := voters[x.id]; ok {
			states[pid] = fanout.SyncState{State: v.SyncState, Priority: v.Priority}
		}
	}
	return states
}
