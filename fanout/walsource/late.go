package walsource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// lookLate spaces the looks at what members say that were not heard when the store left a timeline.
const lookLate = 250 * time.Millisecond

// errLate ends a stream of a timeline that lacks acknowledged WAL, as a member has said since it was followed.
var errLate = errors.New("a member that was not heard before has said which WAL this timeline lacks")

// leaves makes durable which members have said nothing before the store leaves timeline t.
func (r *Supply) leaves(t lsn.TimelineID) error {
	if r.o.Leaves == nil {
		return nil
	}
	return r.o.Leaves(t)
}

// leaveFor notes who has said nothing before the store leaves its timeline for one of srv, and judges srv by all that
// others have said until then. What they say after that is judged by watchLate.
func (r *Supply) leaveFor(srv server) error {
	have := r.o.Store.Positions()
	if err := r.leaves(have.Timeline); err != nil {
		return err
	}
	if r.o.Others == nil {
		return nil
	}
	r.renew(&srv)
	return r.judge(have, srv)
}

// lateLack returns the WAL that the stored timeline lacks, by members that had said nothing when the store came to it.
// nil: none, or the operator has given it up. Only WAL of timelines counts that it leaves: whether another
// one that it does not know goes on from it can't be told here.
func (r *Supply) lateLack() *LackError {
	if r.o.Others == nil {
		return nil
	}
	all, _ := r.o.Others()
	id, _ := r.o.Store.Identity()
	have := r.o.Store.Positions().Timeline
	var past lsn.History
	var k knowledge
	for _, x := range all {
		if !x.Late {
			continue
		}
		if past.Timeline == 0 {
			past, _ = r.storedHistory(have)
		}
		if _, _, left := past.SwitchPoint(x.Timeline); left && !r.givenUp(x.Point) {
			k.all = append(k.all, x)
		}
	}
	e := k.lack(server{system: id.System, timeline: have, xlogpos: noLimit, history: past})
	if r.accepted(e) {
		return nil
	}
	return e
}

// watchLate looks until ctx ends whether members that were not heard when the store left a timeline tell of WAL that it
// should not have left. From then on nothing more of the stored timeline leaves here: sessions end, the stream does,
// and so nothing is reported. The next attempt refuses the server in the usual words.
func (r *Supply) watchLate(ctx context.Context) {
	for pause(ctx, lookLate) == nil {
		e, was := r.lateLack(), r.late.Load()
		r.late.Store(e)
		switch {
		case e != nil && was == nil:
			r.log.Error("the stored timeline lacks acknowledged WAL, no more of it is followed, served or reported",
				"err", e.Error(), "member", e.By, "timeline", e.Timeline)
			r.anew(errLate)
		case e == nil && was != nil:
			r.log.Info("the stored timeline is served again", "timeline", was.Timeline)
		}
		if e != nil { // also who was about to be let in
			r.endSessions(ctx, fmt.Sprintf("In the stored WAL %s, as %s has said.", e.Error(), e.By))
		}
	}
}

// HoldsBack returns why no standby may be served from the store, in PostgreSQL's words, by which it asks again. The
// stored timeline lacks acknowledged WAL, as a member has said since it was followed. nil: it does not, as far as is
// known. Any goroutine may ask.
func (r *Supply) HoldsBack() error {
	e := r.late.Load()
	if e == nil {
		return nil
	}
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("replproxy's %s.", e.HeldBack())
}

// HeldBack says so of WAL that the stored timeline lacks.
func (e *LackError) HeldBack() string {
	return fmt.Sprintf("stored %s, as %s has said since it was followed", e.Error(), e.By)
}
