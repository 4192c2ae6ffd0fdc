package puller

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// better reports whether somebody pulls who is neither silent nor stuck, and covers what this member does.
func (c *Core) better(v View) bool { return slices.ContainsFunc(v.Peers, c.brings) }

func (c *Core) brings(p Peer) bool {
	return p.Pulls && !p.Silent && !p.Stuck && !c.lagging(p) && c.usable(p)
}

// best returns the member with the highest rank that pulls and can be followed; "" when there is none. One that is
// silent, stuck or held is taken only if there is no other.
func (c *Core) best(v View) (best string) {
	better := c.better(v)
	for _, p := range v.Peers {
		betterYet := best == "" || rank(v.System, p.Name) > rank(v.System, best)
		if p.Pulls && c.usable(p) && (!better || c.brings(p)) && betterYet {
			best = p.Name
		}
	}
	return best
}

func (c *Core) usable(p Peer) bool {
	_, avoided := c.avoided[p.Name]
	return p.Live && !avoided
}

// place counts the members that go to the primary before this one. Those that are stuck are last, before them those
// that cover less than this one, or than another.
func (c *Core) place(v View) (n time.Duration) {
	for _, p := range v.Peers {
		if c.usable(p) && !p.LetsGo && c.before(v, p) {
			n++
		}
	}
	return n
}

func (c *Core) before(v View, p Peer) bool {
	if p.Stuck != v.Stuck {
		return v.Stuck
	}
	if lags, held := c.lagging(p), c.held(v); lags != held {
		return held
	}
	return rank(v.System, p.Name) > rank(v.System, c.self)
}

// rank orders the members by rendezvous hash: another order for each system, so that a proxy that is in
// several clusters does not pull for all of them.
func rank(system lsn.SystemID, name string) uint64 {
	return xxhash.Sum64String(system.String() + "/" + name)
}
