package walsource

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// waitsFor returns why timeline t is not followed before members of u have spoken; nil: it waits for none.
func waitsFor(u knownwal.Unheard, t lsn.TimelineID) error {
	switch {
	case len(u.Members) == 0:
		return nil
	case !u.Alone:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"timeline %s %s %s has said what it reported", t, notBefore, strings.Join(u.Members, " and "))
	}
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"timeline %s %s another member has said what it reported, and none was heard since the start", t, notBefore).
		WithHint("Start %s. Only if each is gone for good, say so: replproxy forget %s.",
			strings.Join(u.Members, " or "), u.Members[0])
}

// notBefore is in each refusal until a member has spoken.
const notBefore = "is not followed before"

// knowledge holds the WAL that was known of before a server was asked for its position.
type knowledge struct {
	all     []knownwal.Known
	said    []lsn.Point      // of each of all as its member has said it; zero: it is this proxy's own
	unheard knownwal.Unheard // members that may say more
	// have is the end of this proxy's own WAL. Up to there the bytes of a stream tell whether a primary has lost WAL.
	have lsn.Point
	lost map[string]knownwal.Known // by endpoint: what servers were refused for since they were streamed from last
	// partings are the positions at which WAL of servers and the stored WAL part, by endpoint.
	partings map[string]parting
}

// The first server that answers must not decide alone. A proxy that has just started waits this long for members that
// it has not heard, because they may know of WAL that a server lacks. Links are up within a second where members run.
const (
	listenFirst = 2 * time.Second
	listenPause = 50 * time.Millisecond
)

// listen waits for members that are not heard yet, once after the start.
func (r *Supply) listen(ctx context.Context) error {
	for ; r.o.Others != nil && time.Since(r.began) < listenFirst; _ = pause(ctx, listenPause) {
		if _, unheard := r.o.Others(); len(unheard.Members) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// knowledge collects what a server must have to be followed. What others know of a timeline that the store has left
// is left out: it was judged when the store left it. What members say later that had said nothing then is told, see
// watchLate.
func (r *Supply) knowledge() (k knowledge) {
	id, _ := r.o.Store.Identity()
	have := r.o.Store.Positions()
	add := func(x knownwal.Known, said lsn.Point) {
		if x.LSN != lsn.Invalid {
			k.all, k.said = append(k.all, x), append(k.said, said)
		}
	}
	here := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: have.Complete}
	k.have = here
	if lost := r.lost.Load(); lost != nil {
		k.lost = *lost
	}
	if partings := r.partings.Load(); partings != nil {
		k.partings = *partings
	}
	add(knownwal.Known{Point: here, Complete: true}, lsn.Point{})
	// An empty store does not know whether a record ends there. A primary that crashed may have a little less, but one
	// that was set back must not be followed. "All that was stored" is no position of an empty store.
	own := r.promisedPoint()
	exact := have.Timeline != 0 || own.LSN != walstore.PromisedAll
	add(knownwal.Known{Point: own, Acked: true, Complete: exact}, lsn.Point{})
	if owed, owes := r.o.Store.Repairing(); owes && owed.Damage == nil {
		// It was being flushed, and may have been reported. A primary that crashed may rightly have less.
		p := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: owed.To}
		add(knownwal.Known{Point: p, Acked: true}, lsn.Point{})
	}
	if was := r.o.Store.Promised(); have.Timeline == 0 { // and what it surely had
		p := lsn.Point{System: was.System, Timeline: was.Print.Timeline, LSN: was.Print.LSN}
		add(knownwal.Known{Point: p, Complete: true}, lsn.Point{})
	}
	var all []knownwal.Known
	if r.o.Others != nil {
		all, k.unheard = r.o.Others()
	}
	if x := r.remembered(all); x != nil {
		all = append(all, *x)
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

// inquire asks the other members before the store changes over to another timeline. Their last words may be some
// seconds old, and acknowledged WAL must not be left. An answer that is heard only now counts for other timelines than
// the server's: the server may have gone on since it was asked for its position.
func (r *Supply) inquire(ctx context.Context, have walstore.Positions, srv *server) {
	if r.o.Ask == nil || r.o.Others == nil || have.Timeline == srv.timeline {
		return
	}
	r.o.Ask(ctx)
	r.renew(srv)
}

// renew adds to what srv is judged by the acknowledged WAL of other timelines that is known now.
func (r *Supply) renew(srv *server) {
	now := r.knowledge()
	srv.known.unheard = now.unheard
	for i, x := range now.all {
		if x.Timeline != srv.timeline && x.Acked && !x.Lost {
			srv.known.all, srv.known.said = append(srv.known.all, x), append(srv.known.said, now.said[i])
		}
	}
}

// complete returns the end of the last complete record up to p, where the store has WAL that far.
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

// promisedPoint returns the end of what was reported under a rule: of the stored WAL up to the last complete record,
// or of that which an empty store had.
func (r *Supply) promisedPoint() lsn.Point {
	have, high := r.o.Store.Positions(), r.rcv.Promised()
	if have.Timeline == 0 {
		was := r.o.Store.Promised()
		return lsn.Point{System: was.System, Timeline: was.Timeline, LSN: high}
	}
	id, _ := r.o.Store.Identity()
	p := lsn.Point{System: id.System, Timeline: have.Timeline, LSN: high}
	p.LSN, _ = r.complete(p, have)
	return p
}

// givenUp reports whether the operator has given up what a member said at p, and has gone on saying since.
func (r *Supply) givenUp(p lsn.Point) bool { return r.o.Accept != nil && r.o.Accept.GivenUp(p) }

// heardOf returns the positions that members had named of the WAL in e.
func (k knowledge) heardOf(e *LackError) (heard []lsn.LSN) {
	for i, x := range k.all {
		said, givenUp := k.said[i].LSN, x.Timeline == e.Of && x.LSN > e.From && x.LSN <= e.To
		if givenUp && said != lsn.Invalid && !slices.Contains(heard, said) {
			heard = append(heard, said)
		}
	}
	return heard
}

// Promised returns the highest position that was reported under a rule, up to the last complete record.
func (r *Supply) Promised() lsn.Point { return r.promisedPoint() }

// LackError refuses a server that lacks WAL which is known, as no server that follows the stored WAL would.
type LackError struct {
	System   lsn.SystemID   // of the server
	Timeline lsn.TimelineID // of the server
	From, To lsn.LSN        // what is missing; From 0: the whole timeline Of, or not known of what is Lost
	Of       lsn.TimelineID // that To is a position of; 0: of some timeline before
	// Lost: the server has written To itself, on this timeline, and has come back without it (ruling R32).
	Lost bool
	By   string // the member that knows of it; "": this proxy
}

func (e *LackError) Error() string {
	switch {
	case e.Lost && e.From == lsn.Invalid:
		return fmt.Sprintf("the primary has lost WAL up to %s of timeline %s, nobody knows from where on",
			e.To, e.Timeline)
	case e.Lost:
		return fmt.Sprintf("the primary has lost WAL from %s to %s of timeline %s", e.From, e.To, e.Timeline)
	case e.To == walstore.PromisedAll:
		return fmt.Sprintf("timeline %s lacks WAL of timeline %s that may be acknowledged, nobody knows how far",
			e.Timeline, e.Of)
	case e.From == lsn.Invalid:
		return fmt.Sprintf("timeline %s lacks acknowledged WAL of timeline %s, up to %s", e.Timeline, e.Of, e.To)
	}
	return fmt.Sprintf("timeline %s lacks acknowledged WAL from %s to %s", e.Timeline, e.From, e.To)
}

// refusal returns e with advice.
func (e *LackError) refusal() error {
	err := pgerror.New(pgerror.ObjectNotInPrerequisite, "%s", e.Error()).WithCause(e)
	if e.By != "" {
		err = err.WithDetail("%s knows of it.", e.By)
	}
	if e.Lost {
		return err.WithHint("Stop it, and promote a server that has this WAL, or give it up: "+
			"replproxy accept-timeline %s.", e.Timeline)
	}
	return err.WithHint("Promote a server that has this WAL, or give it up: replproxy accept-timeline %s.", e.Timeline)
}

// noLimit is the largest LSN: what ends there lacks nothing.
const noLimit = lsn.LSN(math.MaxUint64)

// minRecord is the length of the shortest record, in bytes: its header (PostgreSQL's SizeOfXLogRecord). It bounds how
// much may lie beyond the last complete record at a position that nobody could round, as release v0.1.0 says them.
// Records may be long, but what looks like the beginning of a long one may hold short ones.
const minRecord = 24

// lack returns the known WAL that srv lacks; nil: none. Acknowledged WAL must be in its history (ruling R3). A server
// that writes its timeline itself has all that anybody ever had of it: it never sends what it has not flushed. One in
// recovery and a proxy may be behind; what a proxy streams from it has judged itself.
func (k knowledge) lack(srv server) (worst *LackError) {
	end := srv.xlogpos
	if srv.inRecovery() || srv.virtual {
		end = noLimit
	}
	all := k.all
	for _, at := range []string{srv.endpoint, anyEndpoint} {
		if x, was := k.lost[at]; was {
			all = append(slices.Clip(all), x)
		}
	}
	for _, x := range all {
		if x.Lost {
			if worst == nil && end != noLimit && k.refuses(x, srv) {
				worst = &LackError{From: x.From, To: x.LSN, Of: x.Timeline, Lost: true, By: x.By}
			}
			continue
		}
		from, lacks := srv.history.Lack(end, x.Point)
		lost := x.Timeline == srv.timeline
		switch {
		case !lacks, x.System != 0 && x.System != srv.system:
		case lost && !x.Complete, !lost && !x.Acked:
		case !x.Complete && from != lsn.Invalid && x.LSN-from < minRecord: // no record ends behind the fork
		case worst == nil || worst.To < x.LSN:
			worst = &LackError{From: from, To: x.LSN, Of: x.Timeline, Lost: lost, By: x.By}
		}
	}
	if worst == nil {
		return nil
	}
	worst.System, worst.Timeline = srv.system, srv.timeline
	k.since(srv.endpoint, worst)
	return worst
}

// refuses reports whether srv is a primary that was seen without WAL up to x. It stays one when it has written as much
// other WAL since, for all that can be told here: a store that has that WAL itself tells by its bytes.
func (k knowledge) refuses(x knownwal.Known, srv server) bool {
	shown := k.have.Timeline == x.Timeline && k.have.LSN >= x.LSN
	return x.Timeline == srv.timeline && (x.System == 0 || x.System == srv.system) && !shown
}

// lostWAL remembers that srv was refused for WAL that it has lost, by the WAL that this proxy has or had. An empty
// store can't tell by bytes. The position is reached again by other WAL, most likely that of the commits that wait.
func (r *Supply) lostWAL(srv server, err error) {
	var e *LackError
	if !errors.As(err, &e) || !e.Lost || e.By != "" {
		return
	}
	all := map[string]knownwal.Known{}
	if was := r.lost.Load(); was != nil {
		all = maps.Clone(*was)
	}
	p := lsn.Point{System: srv.system, Timeline: e.Of, LSN: e.To}
	all[srv.endpoint] = knownwal.Known{Point: p, Complete: true, Lost: true, From: e.From}
	r.lost.Store(&all)
}

// anyEndpoint stands for whichever server was refused before this start.
const anyEndpoint = ""

// recall takes up what was refused before this start. A store that is emptied meanwhile can't tell by bytes, and the
// primary may have written as much other WAL since. The member that knows of acknowledged WAL may be away by now.
func (r *Supply) recall() {
	if r.o.Accept == nil {
		return
	}
	e := r.o.Accept.Refused()
	if e == nil || e.To == walstore.PromisedAll { // that is no position
		return
	}
	p := lsn.Point{System: e.System, Timeline: e.Of, LSN: e.To}
	if e.Lost {
		r.lost.Store(&map[string]knownwal.Known{anyEndpoint: {Point: p, Complete: true, Lost: true, From: e.From}})
		return
	}
	r.recalled.Store(&knownwal.Known{Point: p, By: e.By, Acked: true, Complete: true})
}

// remembered returns the acknowledged WAL for which a server was refused before this start. It counts until a server is
// followed, or the member that knew of it has spoken again. nil: none.
func (r *Supply) remembered(said []knownwal.Known) *knownwal.Known {
	x := r.recalled.Load()
	if x == nil || x.By != "" && slices.ContainsFunc(said, func(k knownwal.Known) bool { return k.By == x.By }) {
		return nil
	}
	return x
}

// forgive forgets what the server at endpoint was refused for: it is streamed from.
func (r *Supply) forgive(endpoint string) {
	if was := r.partings.Load(); was != nil {
		all := maps.Clone(*was)
		delete(all, endpoint)
		r.partings.Store(&all)
	}
	r.recalled.Store(nil)
	was := r.lost.Load()
	if was == nil {
		return
	}
	all := maps.Clone(*was)
	delete(all, endpoint)
	delete(all, anyEndpoint)
	r.lost.Store(&all)
}

// judge refuses srv where it lacks WAL, or where a member that is not heard yet may know of such WAL. have is what the
// store has.
func (k knowledge) judge(have walstore.Positions, srv server) error {
	if e := k.lack(srv); e != nil {
		return e.refusal()
	}
	if _, _, follows := srv.history.SwitchPoint(have.Timeline); follows {
		return waitsFor(k.unheard, srv.timeline)
	}
	return nil
}

// saw notes on which timeline a server of the system is.
func (r *Supply) saw(srv server) {
	if id, ok := r.o.Store.Identity(); ok && id.System != srv.system {
		return
	}
	for was := r.seen.Load(); uint32(srv.timeline) > was && srv.timeline <= maxTimeline; was = r.seen.Load() {
		if r.seen.CompareAndSwap(was, uint32(srv.timeline)) {
			return
		}
	}
}

// Seen returns the highest timeline on which a server of the system was found since the start, followed or not; 0:
// none. Any goroutine may ask.
func (r *Supply) Seen() lsn.TimelineID { return lsn.TimelineID(r.seen.Load()) }
