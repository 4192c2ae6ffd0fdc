package walsource

import (
	"context"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// knowledge holds the WAL that was known of before a server was asked for its position.
type knowledge struct {
	all     []knownwal.Known
	said    []lsn.Point                 // of each of all as its member has said it; zero: it is this proxy's own
	unheard knownwal.Unheard            // members that may say more
	aside   lsn.TimelineID              // see Supply.aside
	gaveUp  func(e *LackError) []string // see Options.GaveUp; nil: none has
	// have is the end of this proxy's own WAL. Up to there the bytes of a stream tell whether a primary has lost WAL.
	have lsn.Point
	lost lostAt // by endpoint: what servers were refused for since they were streamed from last
	// partings are the positions at which WAL of servers and the stored WAL part, by endpoint.
	partings map[string]parting
	unlike   map[string]unlike // what the last looks have found, by endpoint
}

// knowledge collects the WAL that a server must have to be followed. WAL that others know of a timeline that the store
// has left is left out: it was judged when the store left it. What members say later that had said nothing then is
// told, see watchLate.
func (r *Supply) knowledge() (k knowledge) {
	id, _ := r.o.Store.Identity()
	have := r.o.Store.Positions()
	add := func(x knownwal.Known, said lsn.Point) {
		if x.LSN != lsn.Invalid {
			k.all, k.said = append(k.all, x), append(k.said, said)
		}
	}
	here := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: have.Complete}
	k.have, k.aside, k.gaveUp = here, lsn.TimelineID(r.aside.Load()), r.o.GaveUp
	had, system, _ := r.had(have)
	r.remember(&k, had)
	add(knownwal.Known{Point: here, Complete: true}, lsn.Point{})
	// An empty store does not know whether a record ends there. A primary that crashed may have a little less, but one
	// that was set back must not be followed. "All that was stored" is no position of an empty store.
	own := r.promisedPoint()
	exact := own.LSN <= have.Received
	if own.Timeline != have.Timeline || have.Timeline == 0 {
		exact = own.LSN != walstore.PromisedAll
	}
	add(knownwal.Known{Point: own, Acked: true, Complete: exact}, lsn.Point{})
	if owed, owes := r.o.Store.Repairing(); owes && owed.Damage == nil {
		// It was being flushed, and may have been reported. A primary that crashed may rightly have less.
		p := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: owed.To}
		add(knownwal.Known{Point: p, Acked: true}, lsn.Point{})
	}
	p := lsn.Point{System: system, Timeline: had.Timeline, LSN: had.LSN} // it surely had that
	add(knownwal.Known{Point: p, Complete: true}, lsn.Point{})
	all, unheard := r.o.Others()
	k.unheard = unheard
	for _, x := range r.remembered(all) {
		if !k.has(x) {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return k
	}
	past, _ := r.storedHistory(have.Timeline)
	for _, x := range all {
		if _, _, left := past.SwitchPoint(x.Timeline); left || r.givenUp(x.Point) {
			continue
		}
		said := x.Point
		if !x.Complete {
			x.LSN, x.Complete = r.complete(x.Point, have)
		}
		add(x, said)
	}
	return k
}

// has reports whether x, which was recalled, is what this proxy itself still knows to be acknowledged. A recalled
// refusal does not say whether a record ends there, and this proxy's own knowledge does.
func (k knowledge) has(x knownwal.Known) bool {
	return x.By == "" && slices.ContainsFunc(k.all, func(own knownwal.Known) bool {
		return own.Acked && own.Timeline == x.Timeline && own.LSN == x.LSN
	})
}

// inquire asks the other members before the store changes over to another timeline. Their last words may be some
// seconds old, and acknowledged WAL must not be left. An answer that is heard only now counts for other timelines than
// the server's: the server may have gone on since it was asked for its position.
func (r *Supply) inquire(ctx context.Context, have walstore.Positions, srv *server) {
	if have.Timeline == srv.timeline {
		return
	}
	r.o.Ask(ctx)
	r.renew(srv)
}

// renew adds to the grounds for judging srv the acknowledged WAL of other timelines that is known now.
func (r *Supply) renew(srv *server) {
	now := r.knowledge()
	srv.known.unheard = now.unheard
	for i, x := range now.all {
		if x.Timeline != srv.timeline && x.Acked && !x.Lost {
			srv.known.all, srv.known.said = append(srv.known.all, x), append(srv.known.said, now.said[i])
		}
	}
}

// complete returns the end of the last complete record up to p. known false: the store does not have WAL that far.
func (r *Supply) complete(p lsn.Point, have walstore.Positions) (at lsn.LSN, known bool) {
	if have.Timeline == 0 || p.Timeline != have.Timeline || p.LSN > have.Received || p.LSN <= have.Oldest {
		return p.LSN, false
	}
	at, err := r.o.Store.LastComplete(p.Timeline, p.LSN)
	if err != nil {
		return p.LSN, false
	}
	return at, true
}

// promisedPoint returns the end of what was reported under a rule: of the stored WAL up to the last complete record.
// Where the store was emptied, and has not got to that timeline again, it is that of the WAL before.
func (r *Supply) promisedPoint() lsn.Point {
	have, high := r.o.Store.Positions(), r.rcv.Promised()
	if was := r.o.Store.Promised(); have.Timeline == 0 || was.Beyond(have) {
		return lsn.Point{System: was.System, Timeline: was.Timeline, LSN: high}
	}
	id, _ := r.o.Store.Identity()
	p := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: high}
	if owed, owes := r.o.Store.Repairing(); owes && owed.Bound > have.Received {
		p.LSN = min(p.LSN, have.Received) // the rest is a bound, which is told as owed
	}
	p.LSN, _ = r.complete(p, have)
	return p
}

// bounded notes that the primary has WAL of the stored timeline up to at: if more is owed for having been reported, no
// more than that was. It is promised as far.
func (r *Supply) bounded(at lsn.LSN) error {
	owed, owes := r.o.Store.Repairing()
	if !owes || owed.Bound <= at {
		return nil
	}
	if err := r.o.Store.PrimaryHas(at); err != nil {
		return err
	}
	return r.rcv.GiveUp(at)
}

// Promised returns the highest position that was reported under a rule, up to the last complete record.
func (r *Supply) Promised() lsn.Point { return r.promisedPoint() }
