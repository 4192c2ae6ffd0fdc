package walsource

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/deadline"
)

// lateInterval spaces the looks at what members say that were not heard when the store left a timeline.
const lateInterval = 250 * time.Millisecond

// leaveFor notes the members that have said nothing before the store leaves its timeline for one of srv, and judges srv
// by all that others have said until then. What they say after that watchLate tells.
func (r *Supply) leaveFor(srv server) error {
	have := r.o.Store.Positions()
	if err := r.o.Leaves(have.Timeline); err != nil {
		return err
	}
	r.renew(&srv)
	return r.judge(have, srv)
}

// lateLacks returns the WAL that the stored timeline lacks, by members that had said nothing when the store came to it.
// For each, by name, it is the most that it has said. nil: none, or the operator has given it up. Only WAL of timelines
// that it leaves counts: whether another one that it does not know goes on from it can't be told here.
func (r *Supply) lateLacks() (lacks []LackError) {
	all, _ := r.o.Others()
	id, _ := r.o.Store.Identity()
	have := r.o.Store.Positions().Timeline
	var past lsn.History
	said := map[string]knowledge{}
	for _, x := range all {
		if !x.Late {
			continue
		}
		if past.Timeline == 0 {
			past, _ = r.storedHistory(have)
		}
		if _, _, left := past.SwitchPoint(x.Timeline); left && !r.givenUp(x.Point) {
			said[x.By] = knowledge{all: append(said[x.By].all, x)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		srv := server{system: id.System, timeline: have, xlogpos: noLimit, history: past}
		if e := said[name].lack(srv); e != nil {
			lacks = append(lacks, *e)
		}
	}
	return lacks
}

// lateFact identifies a log entry about a late member. The position up to which it may have acknowledged WAL is no part
// of it: that rises with each commit while the member follows another primary, and status shows it.
type lateFact struct {
	by           string
	system       lsn.SystemID
	timeline, of lsn.TimelineID
}

// lateFacts are those that were logged, until nothing is lacking any more by that member.
type lateFacts map[lateFact]bool

// news returns those of lacks that were not logged yet, and notes them as logged. lacks is all that holds now: whatever
// is not in it any more is forgotten, by member.
func (f lateFacts) news(lacks []LackError) (fresh []LackError) {
	for _, e := range lacks {
		if fact := (lateFact{e.By, e.System, e.Timeline, e.Of}); !f[fact] {
			f[fact] = true
			fresh = append(fresh, e)
		}
	}
	maps.DeleteFunc(f, func(fact lateFact, _ bool) bool {
		return !slices.ContainsFunc(lacks, func(e LackError) bool { return e.By == fact.by })
	})
	return fresh
}

// watchLate looks until ctx ends whether members that were not heard when the store left a timeline tell of WAL that it
// may not have left. It only says so. What a member may have reported is a bound after a crash, not evidence. The
// primary that is followed may have all that was acknowledged.
func (r *Supply) watchLate(ctx context.Context) {
	logged := lateFacts{}
	for deadline.Sleep(ctx, lateInterval) == nil {
		r.lookLate(logged)
	}
}

// lookLate shows which late members there are, and logs those that logged does not have.
func (r *Supply) lookLate(logged lateFacts) {
	lacks := r.lateLacks()
	r.late.Store(&lacks)
	for _, e := range logged.news(lacks) {
		r.log.Warn("a member that was away when this timeline was followed may have acknowledged WAL that it lacks",
			"member", e.By, "timeline", e.Timeline, "of_timeline", e.Of, "from_lsn", e.From, "to_lsn", e.To)
	}
}
