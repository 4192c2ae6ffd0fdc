package walsource

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// lookLate spaces the looks at what members say that were not heard when the store left a timeline.
const lookLate = 250 * time.Millisecond

// leaveFor notes who has said nothing before the store leaves its timeline for one of srv, and judges srv by all that
// others have said until then. What they say after that watchLate tells.
func (r *Supply) leaveFor(srv server) error {
	if r.o.Leaves == nil {
		return nil
	}
	have := r.o.Store.Positions()
	if err := r.o.Leaves(have.Timeline); err != nil {
		return err
	}
	r.renew(&srv)
	return r.judge(have, srv)
}

// lateLack returns the WAL that the stored timeline lacks, by members that had said nothing when the store came to it.
// nil: none, or the operator has given it up. Only WAL of timelines counts that it leaves: whether another
// one that it does not know goes on from it can't be told here.
func (r *Supply) lateLack() *LackError {
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
	return k.lack(server{system: id.System, timeline: have, xlogpos: noLimit, history: past})
}

// watchLate looks until ctx ends whether members that were not heard when the store left a timeline tell of WAL that it
// may not have left. It only says so. What a member may have reported is a bound after a crash, not evidence. The
// primary that is followed may have all that was acknowledged.
func (r *Supply) watchLate(ctx context.Context) {
	for pause(ctx, lookLate) == nil {
		e, was := r.lateLack(), r.late.Load()
		r.late.Store(e)
		if e != nil && (was == nil || *was != *e) {
			r.log.Warn("a member that was away when this timeline was followed may have acknowledged WAL that it lacks",
				"member", e.By, "timeline", e.Timeline, "of_timeline", e.Of, "from_lsn", e.From, "to_lsn", e.To)
		}
	}
}
