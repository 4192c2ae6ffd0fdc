package main

import (
	"sync"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/proxy/config"
)

// demand is the rule as it is configured.
func demand(c *config.Config) vote.Demand { return vote.Demand{Names: c.SynchronousStandbyNames} }

// ownStore is the store as the cluster sees it.
type ownStore struct {
	store   *walstore.Store
	watch   *walstore.Watcher
	streams func() bool
}

func (s *ownStore) Positions() cluster.Positions {
	id, _ := s.store.Identity()
	p := s.store.Positions()
	return cluster.Positions{
		System: id.System, Timeline: p.Timeline, Received: p.Received, Written: p.Written, Flushed: p.Flushed,
	}
}

func (s *ownStore) Streams() bool { return s.streams() }

func (s *ownStore) Moved() <-chan struct{} { return s.watch.C() }

// reporterQuorum is the node as the walreceiver sees it.
type reporterQuorum struct{ *cluster.Node }

func (q reporterQuorum) Limits() walreceiver.Limits {
	write, flush, apply := q.Node.Limits()
	return walreceiver.Limits{Write: write, Flush: flush, Apply: apply}
}

// standbyAcks is the node as the hub sees it: it gives each session the incarnation under which it votes.
type standbyAcks struct {
	node *cluster.Node

	mu       sync.Mutex
	sessions map[int32]uint64 // by PID; 0: no vote
}

func newStandbyAcks(n *cluster.Node) *standbyAcks {
	return &standbyAcks{node: n, sessions: map[int32]uint64{}}
}

// Ack attaches a session at its first report: before it, it has nothing to vote with.
func (s *standbyAcks) Ack(a fanout.Ack) {
	s.mu.Lock()
	id, known := s.sessions[a.PID]
	s.mu.Unlock()
	if !known {
		id = s.node.Attach(a.Name)
		s.mu.Lock()
		s.sessions[a.PID] = id
		s.mu.Unlock()
	}
	if id == 0 {
		return
	}
	s.node.Ack(ledger.Ack{
		Incarnation: id, Timeline: a.Timeline, Sent: a.Sent,
		Write: a.SaidWrite, Flush: a.Flush, Apply: a.Apply,
		Streaming: a.State == walsender.Streaming || a.State == walsender.Stopping,
	})
}

// Gone ends a session.
func (s *standbyAcks) Gone(pid int32) {
	s.mu.Lock()
	id := s.sessions[pid]
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
	for pid, id := range s.sessions {
		if v, ok := voters[id]; ok {
			states[pid] = fanout.SyncState{State: v.SyncState, Priority: v.Priority}
		}
	}
	return states
}
