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

// line is the fingerprint of the history of a timeline of a system, which never changes: a store refuses another one.
type line struct {
	system   lsn.SystemID
	timeline lsn.TimelineID
	print    uint64
}

func (s *ownStore) lineOf(system lsn.SystemID, t lsn.TimelineID) uint64 {
	if l := s.line.Load(); l != nil && l.system == system && l.timeline == t {
		return l.print
	}
	h := s.store.History()
	if h.Timeline != t || t == 0 {
		return 0 // it is about to change
	}
	l := &line{system, t, cluster.Line(h)}
	s.line.Store(l)
	return l.print
}

func (s *ownStore) Positions() cluster.Positions {
	id, _ := s.store.Identity()
	p := s.store.Positions()
	repair, _ := s.store.Repairing() // after the positions: what is repaired since is received
	return cluster.Positions{
		System: id.System, Timeline: p.Timeline, Received: p.Received, Written: p.Written, Flushed: p.Flushed,
		Owed: repair.To, Line: s.lineOf(id.System, p.Timeline),
	}
}

func (s *ownStore) Streams() bool { return s.streams() }

func (s *ownStore) Moved() <-chan struct{} { return s.watch.C() }

// reporterQuorum is the node as the walreceiver sees it.
type reporterQuorum struct{ *cluster.Node }

func (q reporterQuorum) Limits() walreceiver.Limits {
	p, ruled := q.Node.Limits()
	return walreceiver.Limits{Write: p.Write, Flush: p.Flush, Apply: p.Apply, Ruled: ruled}
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
		Write: a.SaidWrite, Flush: a.Flush, Apply: a.Apply,
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
