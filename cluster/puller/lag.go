package puller

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// lagAfter is the time for which one member may cover less than another before that one is to report in its
// place. Votes reach one member a little earlier than another all the time.
const lagAfter = 10 * time.Second

// lag notes whether one member has not reached for a while what another one covers. It is pure. The zero value has
// seen nothing.
type lag struct {
	wanted lsn.LSN   // covered by the other one, and not by this one since
	since  time.Time // then; once it lags, when it last covered less
	lags   bool
}

// step compares at a moment: one member covers goal, the other one here. What was found stays while they cannot be
// compared: a stream that is made anew is no news. It is over once wanted is reached, or for lagAfter nothing more is
// covered by the other one, which may be held by now.
func (g *lag) step(now time.Time, goal, here lsn.LSN, comparable bool) {
	switch {
	case g.lags && comparable && here < g.wanted && here >= goal && now.Sub(g.since) < lagAfter:
	case g.lags && (!comparable || here < g.wanted && here < goal):
		g.since = now
	case !comparable, here >= goal, here >= g.wanted, g.since.IsZero():
		*g = lag{wanted: goal, since: now}
	default:
		if now.Sub(g.since) >= lagAfter {
			g.since, g.lags = now, true
		}
	}
}

// lags holds how a peer and this member are to each other.
type lags struct {
	peer lag // the peer has not reached what this member covers
	self lag // this member has not reached what the peer covers
}

// compare notes at a moment who covers less than whom. Only those count that are connected to the same primary.
func (c *Core) compare(now time.Time, v View) {
	for _, p := range v.Peers {
		if !p.Live || !p.Tells {
			delete(c.lags, p.Name)
			continue
		}
		g := c.lags[p.Name]
		if g == nil {
			g = &lags{}
			c.lags[p.Name] = g
		}
		both := p.Reaches && v.Reaches
		g.peer.step(now, v.Covers, p.Covers, both)
		g.self.step(now, p.Covers, v.Covers, both)
	}
}

// lagging reports whether a peer covers less than this member for long enough.
func (c *Core) lagging(p Peer) bool {
	g := c.lags[p.Name]
	return g != nil && g.peer.lags
}

// lagsBehind reports whether this member covers less than that peer for long enough.
func (c *Core) lagsBehind(peer string) bool {
	g := c.lags[peer]
	return g != nil && g.self.lags
}

// held reports whether this member covers less than one that could report in its place.
func (c *Core) held(v View) bool {
	return slices.ContainsFunc(v.Peers, func(p Peer) bool { return p.Reaches && c.usable(p) && c.lagsBehind(p.Name) })
}

// Behind reports whether, at now, a member has not reached for a turn what this one covers. Nobody knows it of one that
// does not tell.
func (c *Core) Behind(now time.Time, member string) bool {
	g := c.lags[member]
	return g != nil && (g.peer.lags || now.Sub(g.peer.since) >= turn)
}
