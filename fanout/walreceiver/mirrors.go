package walreceiver

import (
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// mirrorWait bounds the time in which a primary is told nothing because it lacks mirrors. Making them takes
// milliseconds; a primary that has no slot left, or lets us make none, shall not hold its commits for that.
const mirrorWait = 5 * time.Second

// Mirrors are slots that are to be on a primary before it is told any position, so that they are there for
// whoever acts on what was confirmed (ruling R18). Methods may be called from any goroutine.
type Mirrors interface {
	// Ready reports whether they are there, or none is wanted. It is cheap, and has them made soon.
	Ready(e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID) bool
	// Changed has room for one token and gets it when Ready has become true.
	Changed() <-chan struct{}
}

// MirrorState is the state of mirrors on the server that is streamed from.
type MirrorState string

// The states of mirrors.
const (
	MirrorsThere   MirrorState = ""        // or none is wanted
	MirrorsAwaited MirrorState = "awaited" // nothing is reported
	MirrorsMissing MirrorState = "missing" // they could not be made in time, and it is reported without them
)

// place is a server on one of its timelines.
type place struct {
	at       upstream.Endpoint
	system   lsn.SystemID
	timeline lsn.TimelineID
}

// mirrorGate holds reports back at the beginning of a stream. One goroutine at a time uses it.
type mirrorGate struct {
	mirrors Mirrors // nil: there are none
	log     *slog.Logger
	show    func(MirrorState)

	on    place
	until time.Time // nothing is held back after it
	open  bool      // they were there once: what is made since is not waited for
	state MirrorState
}

// begin notes that a stream from p begins. A server that has been waited for is not waited for again. Nobody waits
// where the server does not write: on a timeline that it has left, or at a member of the cluster.
func (g *mirrorGate) begin(p place, writes bool, now time.Time) {
	if p != g.on {
		g.on, g.until, g.open = p, now.Add(mirrorWait), !writes
	}
}

// holds reports whether nothing may be reported now, and when to ask again at the latest.
func (g *mirrorGate) holds(now time.Time) (held bool, wake time.Time) {
	g.open = g.open || g.mirrors == nil || g.mirrors.Ready(g.on.at, g.on.system, g.on.timeline)
	switch {
	case g.open:
		g.turn(MirrorsThere)
		return false, wake
	case now.Before(g.until):
		g.turn(MirrorsAwaited)
		return true, g.until
	}
	g.turn(MirrorsMissing)
	return false, wake
}

func (g *mirrorGate) turn(to MirrorState) {
	if to == g.state {
		return
	}
	if to == MirrorsMissing {
		g.log.Warn("slots are not mirrored on the upstream: it is reported to without them",
			"upstream", g.on.at.String(), "timeline", uint32(g.on.timeline), "waited", mirrorWait)
	}
	g.state = to
	g.show(to)
}
