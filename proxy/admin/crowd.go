package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// crowd bounds the open connections of the server. A new one beyond the limit is served all the same: the one
// that has been quiet for longest makes room, so that nobody keeps probes and scrapers out by connections that
// say nothing.
type crowd struct {
	limit int

	mu   sync.Mutex
	open map[net.Conn]presence
}

// presence is what a connection does, and since when.
type presence struct {
	busy  bool // a request has begun
	since time.Time
}

func newCrowd(limit int) *crowd { return &crowd{limit: limit, open: map[net.Conn]presence{}} }

// note is the server's ConnState.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
		return
	case http.StateNew:
		if len(c.open) >= c.limit {
			c.makeRoom()
		}
	}
	c.open[conn] = presence{state == http.StateActive, time.Now()}
}

// makeRoom closes the quiet connection, or else the request, that is oldest.
func (c *crowd) makeRoom() {
	var victim net.Conn
	var is presence
	for conn, p := range c.open {
		if victim == nil || is.busy && !p.busy || is.busy == p.busy && p.since.Before(is.since) {
			victim, is = conn, p
		}
	}
	if victim != nil {
		delete(c.open, victim)
		if secure, ok := victim.(*tls.Conn); ok {
			victim = secure.NetConn() // a good-bye within TLS would wait for a peer that does not read
		}
		_ = victim.Close()
	}
}
