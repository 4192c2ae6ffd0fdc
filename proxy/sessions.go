package proxy

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
)

// sessions is the table of living sessions. Make it with newSessions.
type sessions struct {
	mu   sync.Mutex
	last SessionID
	pids pids
	byID map[SessionID]*Session
	from map[netip.Prefix]int // sessions of each origin but this machine
	// walsenders are those of byID that are physical walsenders.
	walsenders int
	unproven   unproven
	// past has the bytes of sessions that are over: from clients, and to them.
	past [2]int64
}

func newSessions(node uint8) *sessions {
	return &sessions{byID: map[SessionID]*Session{}, from: map[netip.Prefix]int{}, pids: newPIDs(node)}
}

// add numbers s, gives it a pid and enters it, unless a limit is reached and no session that has not logged in can
// give way: then it says which.
func (t *sessions) add(s *Session, l Limits) (Reason, *pgerror.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	physical := s.class == handshake.PhysicalWalsender
	from := origin(s.clientAddr)
	if t.kin(physical) >= l.MaxConnections {
		t.makeRoom(func(o *Session) bool { return (o.class == handshake.PhysicalWalsender) == physical })
	}
	if !ours(from) && t.from[from] >= l.MaxPerAddress {
		t.makeRoom(func(o *Session) bool { return origin(o.clientAddr) == from })
	}
	switch {
	case t.kin(physical) >= l.MaxConnections:
		return ReasonConnections, errTooManyClients()
	case !ours(from) && t.from[from] >= l.MaxPerAddress:
		return ReasonAddress, errTooManyClients().
			WithDetail("limits.max_connections_per_address of replproxy allows %d.", l.MaxPerAddress)
	}
	if !ours(from) {
		t.from[from]++
	}
	if physical {
		t.walsenders++
	}
	t.last++
	s.id, s.pid, s.table = t.last, t.pids.take(), t
	t.byID[s.id] = s
	t.unproven.add(s)
	return 0, nil
}

// kin counts the sessions that share the limit of connections: with physical the physical walsenders, else all others.
func (t *sessions) kin(physical bool) int {
	if physical {
		return t.walsenders
	}
	return len(t.byID) - t.walsenders
}

// makeRoom ends one session that has not logged in and will do, if there is one. The caller has the lock.
func (t *sessions) makeRoom(will func(*Session) bool) {
	if s := t.unproven.pick(will); s != nil {
		t.take(s)
		go s.giveWay()
	}
}

// drop ends a session that has not logged in, and without a word: to wait until the client has read it would cost the
// descriptor meanwhile. The caller has the lock.
func (t *sessions) drop(s *Session) {
	t.take(s)
	conn := s.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // a good-bye within TLS would wait too
	}
	_ = conn.Close()
	go s.giveWay()
}

func (t *sessions) remove(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take(s)
}

// take takes s out, if it is there. The caller has the lock.
func (t *sessions) take(s *Session) {
	if t.byID[s.id] != s {
		return
	}
	delete(t.byID, s.id)
	t.past[0] += s.FromClient.Load()
	t.past[1] += s.ToClient.Load()
	t.unproven.remove(s)
	if s.class == handshake.PhysicalWalsender {
		t.walsenders--
	}
	if from := origin(s.clientAddr); !ours(from) {
		if t.from[from]--; t.from[from] == 0 {
			delete(t.from, from)
		}
	}
	t.pids.release(s.pid)
}

// relayed returns how many bytes all sessions so far have passed on.
func (t *sessions) relayed() (fromClients, toClients int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fromClients, toClients = t.past[0], t.past[1]
	for _, s := range t.byID {
		fromClients += s.FromClient.Load()
		toClients += s.ToClient.Load()
	}
	return fromClients, toClients
}

// list returns every session at this moment, oldest first.
func (t *sessions) list() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*Session, 0, len(t.byID))
	for _, s := range t.byID {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	return all
}
