package tail

import (
	"fmt"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// setAside returns the WAL of the timeline that is left which a proxy has given up and set aside: its store is empty
// since, or gets what was written instead. Of that WAL the proxy has reported nothing beyond the end. Zero: none.
func (l *look) setAside(a MemberStatus) (x loss.Loss) {
	for _, g := range a.GivenUp {
		aside := a.Timeline == 0 || g.Instead
		over := g.TakenBack || g.Void
		if aside && !over && g.Timeline == l.tail.Timeline && g.System == a.System && g.To > x.To {
			x = g
		}
	}
	return x
}

// emptied says why the end of a proxy without WAL is not final. asideTo is where the WAL ends that it has set aside, if
// it reported nothing beyond that. Only a promise under a rule shows that: the store may have gone on since, and have
// been emptied later.
func (l *look) emptied(m Member) (why string, asideTo lsn.LSN) {
	a, x := m.Status, l.setAside(m.Status)
	why = empty(m)
	if x.To == lsn.Invalid {
		return why, lsn.Invalid
	}
	why += fmt.Sprintf(", and WAL up to %s was given up there", x.To)
	ruled := m.Heard && m.Rule.Names != "" &&
		(m.Rule.Established || m.Rule.Generation == 0 || m.Rule.Before.Names != "")
	if ruled && a.PromisedOn == l.tail.Timeline && a.Promised <= x.To {
		asideTo = x.To
	}
	return why, asideTo
}

// begunAnew says why the end of a proxy is not final whose store was emptied, and has not got to the timeline again on
// which it was.
func begunAnew(a MemberStatus) string {
	why := fmt.Sprintf("its store was emptied and is on timeline %s so far, and it had reported WAL of timeline %s",
		a.Timeline, a.PromisedOn)
	if a.Promised == allStored {
		return why + ": nobody knows how far"
	}
	return why + " up to " + a.Promised.String()
}

// keepsAside tells how the WAL is kept that the proxy of a row has set aside.
func (r Row) keepsAside() string {
	todo := fmt.Sprintf("say --end %s=%s: of the WAL that it has set aside it reported nothing beyond (%s)", r.Node,
		r.asideTo, afterChangeOfMind)
	if r.Timeline != 0 {
		todo = "if what was written instead is given up, " + todo
	}
	return todo
}

// leastBegin returns a position at or beyond the beginning of the timeline that is left, by the WAL of it that was
// given up. It stands for the beginning where no store knows that any more. Invalid: none is known.
func (l *look) leastBegin() (at lsn.LSN) {
	for _, m := range l.members {
		if x := l.setAside(m.Status); x.From != lsn.Invalid {
			at = max(at, x.From)
		} else {
			at = max(at, x.To)
		}
	}
	return at
}

// givenUpTimeline returns the highest timeline of which a proxy has given up WAL, for when no store is on any.
func (l *look) givenUpTimeline() (t lsn.TimelineID) {
	for _, m := range l.members {
		for _, g := range m.Status.GivenUp {
			if !g.TakenBack && !g.Void {
				t = max(t, g.Timeline)
			}
		}
	}
	return t
}

// asideFor names the reached proxies that have set WAL aside up to the position that a candidate needs.
func (l *look) asideFor(target lsn.LSN) (text string) {
	for _, r := range l.tail.Proxies {
		if r.Reached && l.setAside(r.MemberStatus).To >= target {
			text += fmt.Sprintf("; %s has set it aside, in data_dir/diverged: feed the candidate from there (%s)",
				r.Node, afterChangeOfMind)
		}
	}
	return text
}

// afterChangeOfMind names the page that tells how WAL is kept which was set aside.
const afterChangeOfMind = "docs/failover.md, After a change of mind"
