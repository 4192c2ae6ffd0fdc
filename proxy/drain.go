package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/replproxy/replproxy/handshake"
)

// group is a set of sessions that end together.
type group struct {
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newGroup() *group {
	g := &group{}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

// groupOf returns the group of a class. Walsenders that carry WAL to standbys outlive everybody, because WAL that the
// others still write has to reach them.
func (s *Server) groupOf(c handshake.Class) *group {
	if c == handshake.PhysicalWalsender {
		return s.physicals
	}
	return s.relays
}

// drain shuts down in PostgreSQL's order:
//
//  1. Stop accepting: the listeners are closed.
//  2. Connections that have not said who they are end, and so do cancel requests.
//  3. Relayed sessions, regular and logical, may end by themselves within DrainGrace.
//  4. Then they are closed: with a 57P01 while they log in, without a word later, because nobody
//     knows where a message of theirs begins.
//  5. Physical walsenders are asked to end, by their context: they send what is left.
//  6. Those that have not ended within PhysicalGrace lose their connection.
//
// Every step waits until its sessions are gone.
func (s *Server) drain(stopAccepting func()) {
	stopAccepting() // 1
	s.startups.stop()
	s.startups.wait(0, nil)                               // 2
	s.relays.wait(s.o.DrainGrace, s.relays.stop)          // 3, 4
	s.physicals.stop()                                    // 5
	s.physicals.wait(s.o.PhysicalGrace, s.closePhysicals) // 6
	s.log.Debug("proxy server stopped", "accepted", s.accepted.Load(), "refused", s.Counts().Refused)
}

// wait returns when the group is empty. After grace it calls force once, if there is one.
func (g *group) wait(grace time.Duration, force func()) {
	empty := make(chan struct{})
	go func() { defer close(empty); g.wg.Wait() }()
	if force != nil {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-empty:
			return
		case <-t.C:
			force()
		}
	}
	<-empty
}

// closePhysicals closes the connections of the physical walsenders that are left.
func (s *Server) closePhysicals() {
	for _, session := range s.sessions.list() {
		if session.class == handshake.PhysicalWalsender {
			_ = session.conn.Close()
			s.log.Warn("walsender did not end in time", "session_id", uint64(session.id))
		}
	}
}
