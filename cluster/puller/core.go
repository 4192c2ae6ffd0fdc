package puller

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// introduction is the time for which a start listens for others before it takes itself for alone. A link is up
	// within a second.
	introduction = 3 * time.Second
	// turn lies between the members that go to the primary one after the other when nobody pulls: the time
	// to log in and to say so.
	turn = 2 * time.Second
	// patience is the time without a stream after which another way is tried. A walreceiver has tried several times by
	// then.
	patience = 3 * time.Second
	// silence is the time for which a followed member may stop saying that it pulls while its stream goes on. A
	// primary that restarts comes back to it.
	silence = 5 * time.Second
	// grace is the time for which a member that has let the primary go waits for another one on its way there.
	grace = 5 * time.Second
	// detour is the time for which a member, or the primary that another one pulls from, is left alone after a failed
	// stream.
	detour = 30 * time.Second
	// convalescence is the time for which a disk that takes WAL again is not relied on. By one that hangs every now
	// and then the members would change to and fro.
	convalescence = 10 * time.Second
)

// Peer is another member as it is seen now.
type Peer struct {
	Name  string
	Live  bool // it is heard
	Pulls bool // it says that it streams from the primary
	// Silent: it says that the primary which it streams from says nothing.
	Silent bool
	// Stuck: it says that its disk takes nothing of the WAL that comes, which so is not reported, and soon not taken.
	Stuck bool
	// Deaf: it has been silent for so long that its stream is taken for dead, whatever the primary says to others.
	Deaf bool
	// Reaches: it says that it is connected to the primary of the system and timeline that this member is on.
	Reaches bool
	// LetsGo: it says that it has given the primary up.
	LetsGo bool
	// Tells: it says what it covers, in Covers: up to where it may report WAL that it has. An older release does not.
	Tells  bool
	Covers lsn.LSN
}

// View has the facts for one decision.
type View struct {
	System    lsn.SystemID // 0: not known yet
	Streaming bool         // WAL comes in from whom the last decision named
	Reaches   bool         // this member is connected to the primary
	Silent    bool         // the stream from the primary is silent
	// Unanswered: the stream is silent, and the primary does not answer in other connections either.
	Unanswered bool
	Stuck      bool    // this member's disk takes nothing of the WAL that comes
	Covers     lsn.LSN // up to where this member may report WAL that it has
	Peers      []Peer  // the other members
}

// Choice names the server or member to stream from.
type Choice struct {
	Known  bool   // false: nobody for the moment, it will be known within seconds
	Member string // "": the primary
}

// Primary reports whether it is known, and the primary.
func (c Choice) Primary() bool { return c == Choice{Known: true} }

// Core decides. Make it with NewCore. It is pure: time and views in, choices out.
type Core struct {
	self    string
	choice  Choice
	began   time.Time // of the wait, when there is no choice
	good    time.Time // last moment with a stream, or of the choice
	pulled  time.Time // last moment at which the member that is followed said that it pulls
	able    time.Time // last moment at which the member that is followed brought WAL, as far as is known
	reached time.Time // since when this member is connected to the primary; zero: it is not
	avoided map[string]time.Time
	shunned time.Time // until when the primary is left to whoever reaches it
	// failed is until when the primary is left to whoever pulls. This member got no stream from it, or has taken over
	// from one that covered less.
	failed time.Time
	stuck  time.Time // until when this member counts as stuck
	lags   map[string]*lags
}

// NewCore begins at now.
func NewCore(self string, now time.Time) *Core {
	return &Core{self: self, began: now, avoided: map[string]time.Time{}, lags: map[string]*lags{}}
}

// Pulls reports whether the others may follow this member, given that WAL comes in.
func (c *Core) Pulls(streaming bool) bool { return streaming && c.choice.Primary() }

// Step decides anew.
func (c *Core) Step(now time.Time, v View) Choice {
	for name, until := range c.avoided {
		if !now.Before(until) {
			delete(c.avoided, name)
		}
	}
	if v.Streaming {
		c.good = now
	}
	if v.Stuck {
		c.stuck = now.Add(convalescence)
	}
	v.Stuck = c.Stuck(now)
	c.compare(now, v)
	switch {
	case !v.Reaches:
		c.reached = time.Time{}
	case c.reached.IsZero():
		c.reached = now
	}
	switch {
	case !c.choice.Known:
		c.wait(now, v)
	case c.choice.Primary():
		c.pull(now, v)
	default:
		c.follow(now, v)
	}
	return c.choice
}

// wait follows whoever pulls, or goes to the primary when it is this member's turn.
func (c *Core) wait(now time.Time, v View) {
	if best := c.best(v); best != "" {
		c.choose(now, Choice{true, best})
	} else if now.Before(c.shunned) && (reached(v) || now.Sub(c.began) < introduction+grace) {
		return // somebody is about to take it
	} else if now.Sub(c.began) >= introduction+c.place(v)*turn {
		c.choose(now, Choice{Known: true})
	}
}

// pull leaves the primary to a member with a higher rank that pulls too, or to any that does while our stream is poor,
// or there is none. A good stream is not given up for a poor one. A primary that does not answer us is left to whoever
// reaches it, at once.
func (c *Core) pull(now time.Time, v View) {
	if v.Unanswered && reached(v) {
		c.shunned = now.Add(detour)
		c.leave(now, v)
		return
	}
	best := c.best(v)
	if best == "" {
		return
	}
	poor, better := v.Silent || v.Stuck, c.better(v)
	switch {
	case now.Sub(c.good) >= patience:
		c.failed = now.Add(detour)
		c.choose(now, Choice{true, best})
	case !v.Streaming || !poor && !better:
	case (poor || c.lagsBehind(best)) && better, rank(v.System, best) > rank(v.System, c.self):
		c.choose(now, Choice{true, best})
	}
}

// follow stays with a member for as long as it brings WAL of a primary.
func (c *Core) follow(now time.Time, v View) {
	i := slices.IndexFunc(v.Peers, func(p Peer) bool { return p.Name == c.choice.Member })
	if i < 0 || !v.Peers[i].Live {
		c.leave(now, v)
		return
	}
	p := v.Peers[i]
	if p.Pulls {
		c.pulled = now
	}
	lags := c.lagging(p) && p.Reaches
	if !p.Stuck && !p.Deaf && !lags {
		c.able = now
	}
	switch {
	case now.Sub(c.good) >= patience:
		c.avoided[c.choice.Member] = now.Add(detour)
		c.leave(now, v)
	case now.Sub(c.pulled) >= silence, p.LetsGo && !p.Pulls, (p.Silent || p.Stuck || lags) && c.better(v):
		c.leave(now, v)
	case (p.Stuck || p.Deaf || lags) && c.relieves(now, v):
		c.choose(now, Choice{Known: true})
		if lags { // once in a detour: votes that come and go would have members change to and fro
			c.failed = now.Add(detour)
		}
	}
}

// relieves reports whether it is this member's turn to pull beside the one that it follows, which brings nothing, and
// which then leaves the primary to it. A primary that is back after it said nothing to anybody is not that time.
func (c *Core) relieves(now time.Time, v View) bool {
	if !v.Reaches || now.Sub(c.reached) < patience || v.Stuck || now.Before(c.failed) {
		return false
	}
	v.Peers = slices.DeleteFunc(slices.Clone(v.Peers), func(p Peer) bool { return !p.Reaches })
	return now.Sub(c.able) >= c.place(v)*turn
}

// reached reports whether another member is connected to the primary.
func reached(v View) bool {
	return slices.ContainsFunc(v.Peers, func(p Peer) bool { return p.Live && p.Reaches })
}

// LetsGo reports whether the others need not wait for this member to come back to the primary.
func (c *Core) LetsGo(now time.Time) bool { return now.Before(c.shunned) && !c.choice.Primary() }

// Stuck reports whether this member's disk takes nothing of the WAL that comes, or did not until shortly before now.
func (c *Core) Stuck(now time.Time) bool { return now.Before(c.stuck) }

// leave looks for another way, without the introduction.
func (c *Core) leave(now time.Time, v View) {
	c.choice, c.began = Choice{}, now.Add(-introduction)
	c.wait(now, v)
}

func (c *Core) choose(now time.Time, to Choice) {
	c.choice, c.good, c.pulled, c.able = to, now, now, now
}
