package walsource

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/knownwal"
)

const (
	// partingMost bounds how far back WAL is compared, in bytes, to find where a primary that has lost WAL took another
	// way. Sixteen segments of the usual size take a fast link a second. One segment is always read.
	partingMost lsn.LSN = 256 << 20
	// partingPatience bounds how long that may take. What is not found in time is taken for not known.
	partingPatience = 15 * time.Second
	// partingDelay spaces the looks at a server where a look did not tell: each may read partingMost.
	partingDelay = time.Minute
	// walsenderDelay lies between two tries to get a walsender where none is left.
	walsenderDelay = 250 * time.Millisecond
)

// parting is the position at which the WAL of a server and the stored WAL part, at the end of the last record that both
// have.
type parting struct {
	system   lsn.SystemID
	timeline lsn.TimelineID
	asked    lsn.LSN // where the server was
	at       lsn.LSN // Invalid: not known
	exact    bool    // false: nothing differs up to at, and the store ends there
	told     lsn.LSN // the lowest that a member has found, which says so while it refuses the server only
	looked   time.Time
	cut      bool // the look took its session with it: it is not repeated at once, not for an operator's word either
}

// part looks for the position at which a primary that has lost WAL and the store part. The server's position does not
// tell: it came back with less, and has written on before it was first asked. part compares bytes, from the end of the
// common WAL back to a segment that begins alike. An operator's word is not used before part has looked anew, since the
// server may have been set back again. If it can't compare, the position stays unknown.
//
// It uses s, idle at the server, which may have no other walsender left. nil: it waits for one of its own, within
// partingPatience.
func (r *Supply) part(ctx context.Context, s Conn, at upstream.Endpoint, srv *server, e *LackError) {
	have := r.o.Store.Positions()
	id, _ := r.o.Store.Identity()
	if e == nil || !e.Lost || e.Of != srv.timeline || have.Timeline != srv.timeline || id.System != srv.system {
		return
	}
	was := srv.known.parting(srv.endpoint, srv.system, srv.timeline)
	known := was.exact && was.asked <= srv.xlogpos || time.Since(was.looked) < partingDelay
	if known && (was.cut || !r.accepted(e)) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, partingPatience)
	defer cancel()
	p := parting{system: srv.system, timeline: srv.timeline, asked: srv.xlogpos, told: was.told, looked: time.Now()}
	for _, x := range srv.known.all {
		if x.Lost && x.Timeline == srv.timeline && x.System == srv.system {
			p.told = lowest(p.told, x.From)
		}
	}
	x, err := r.compareWith(ctx, s, at, *srv, id.SegSize)
	if err != nil {
		p.cut = errors.As(err, new(errCut))
		r.log.Warn("where the primary's WAL and the stored WAL part is not known", "host", srv.endpoint, "err", err)
	} else {
		p.at, p.exact = x, x < have.Complete
	}
	if was.exact && p.at != lsn.Invalid {
		p.at, p.exact = min(p.at, was.at), true
	}
	all := map[string]parting{}
	if old := r.partings.Load(); old != nil {
		all = maps.Clone(*old)
	}
	all[srv.endpoint] = p
	r.partings.Store(&all)
	srv.known.partings = all
}

// compareWith compares as compareBack does, in the session s or, if that is nil, in one of its own. It waits for a
// walsender of the server if there is none left.
func (r *Supply) compareWith(ctx context.Context, s Conn, e upstream.Endpoint, srv server,
	size lsn.SegSize) (lsn.LSN, error) {
	for s == nil {
		own, err := r.o.Upstream.ConnectTo(ctx, e, r.params())
		if err == nil {
			s = walreceiver.Over(own)
			defer s.Disconnect()
			break
		}
		// That of the stream which has just broken may be there still.
		if !pgerror.HasCode(err, pgerror.TooManyConnections) || deadline.Sleep(ctx, walsenderDelay) != nil {
			return lsn.Invalid, err
		}
	}
	return r.compareBack(ctx, s, srv, size)
}

// compareBack returns the end of the last record that the server of s and the store both have.
func (r *Supply) compareBack(ctx context.Context, s Conn, srv server, size lsn.SegSize) (lsn.LSN, error) {
	have := r.o.Store.Positions()
	end := min(srv.xlogpos, have.Received)
	if end <= have.Oldest {
		return lsn.Invalid, fmt.Errorf("the store begins at %s, beyond what the server has", have.Oldest)
	}
	differs := end // the first difference, or the end of what both have
	from, to := size.Floor(end-1), end
	for {
		d, differ, err := r.compare(ctx, s, srv.timeline, from, to)
		if err != nil {
			return lsn.Invalid, err
		}
		if differ {
			differs = d
		}
		x, known := r.complete(lsn.Point{Timeline: srv.timeline, LSN: differs}, have)
		if begin := srv.history.Begin(); known && from <= begin {
			return max(x, begin), nil // timelines of one number that begin alike have not parted before
		}
		if known && x > from {
			dated, err := r.o.Store.Dated(from, x)
			if err != nil || dated {
				return x, err
			}
		}
		if from < lsn.LSN(size) || from-lsn.LSN(size) < have.Oldest || end-from >= partingMost {
			return lsn.Invalid, fmt.Errorf("no transaction ended alike from %s to %s", from, differs)
		}
		from, to = from-lsn.LSN(size), from
	}
}

// parting returns the place at which the WAL of the server at endpoint and the stored WAL part, for that system and
// timeline. The zero parting: nothing is known of it.
func (k knowledge) parting(endpoint string, system lsn.SystemID, t lsn.TimelineID) parting {
	if p := k.partings[endpoint]; p.system == system && p.timeline == t {
		return p
	}
	return parting{}
}

// since puts the beginning of a loss to where the WAL of a server parts from what is known: to the lowest that this
// proxy or a member has found. What a primary had when it was asked is no evidence: it had less when it came back, and
// has written on. Where nobody could compare the beginning is not known, and all up to To may be lost.
func (k knowledge) since(endpoint string, e *LackError) {
	if !e.Lost {
		return
	}
	p := k.parting(endpoint, e.System, e.Of)
	e.From = p.told
	for _, all := range [][]knownwal.Known{k.all, k.lost[endpoint], k.lost[anyEndpoint]} {
		for _, x := range all {
			if x.Lost && x.Timeline == e.Of && (x.System == 0 || x.System == e.System) {
				e.From = lowest(e.From, x.From)
			}
		}
	}
	if p.exact || e.From == lsn.Invalid {
		e.From = lowest(e.From, p.at)
	}
}

// lowest returns the lower one of two positions. Invalid stands for a position that is not known: then it is the other
// one.
func lowest(a, b lsn.LSN) lsn.LSN {
	if a == lsn.Invalid || b == lsn.Invalid {
		return max(a, b)
	}
	return min(a, b)
}
