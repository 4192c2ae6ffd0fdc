package walsource

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

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

// words holds the words of operators on which the advice about a lack depends.
type words struct {
	// given: that WAL is given up, and this proxy's own store has it. A store only grows: to begin anew without that
	// WAL takes a restart.
	given bool
	// aside: other WAL waits for a restart so. Until then no other word is taken.
	aside bool
	by    []string // members that have given that WAL up, where this proxy has not
}

// refusal returns e with advice that holds after said.
func (e *LackError) refusal(said words) error {
	err := pgerror.New(pgerror.ObjectNotInPrerequisite, "%s", e.Error()).WithCause(e)
	var detail []string
	if e.By != "" {
		detail = append(detail, e.By+" knows of it.")
	}
	if !e.Lost { // else it is known by the bytes
		detail = append(detail, "After a crash all that was stored counts as acknowledged.")
	}
	if len(detail) > 0 {
		err = err.WithDetail("%s", strings.Join(detail, " "))
	}
	switch {
	case said.given:
		return err.WithHint("It is accepted, and this proxy's own store has that WAL: restart the proxy, " +
			"it then sets its WAL aside and begins anew. To keep that WAL after all do not restart it, and promote a " +
			"server that has it: docs/failover.md, after a change of mind.")
	case said.aside:
		return err.WithHint("Promote a server that has this WAL. It can be given up once this proxy has been " +
			"restarted, which sets aside what was given up before.")
	case len(said.by) > 0:
		return err.WithHint("%s has given it up. Give it up here too: replproxy accept-timeline %s. "+
			"Or stop that server for good, restart no proxy, and promote a server that has this WAL.",
			strings.Join(said.by, " and "), e.Timeline)
	case e.Lost:
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
	all = slices.Concat(all, k.lost[srv.endpoint], k.lost[anyEndpoint])
	for _, x := range all {
		if x.Lost {
			farther := worst == nil || worst.Lost && x.By == "" && worst.To < x.LSN
			if farther && end != noLimit && k.refuses(x, srv) {
				worst = &LackError{From: x.From, To: x.LSN, Of: x.Timeline, Lost: true, By: x.By}
			}
			continue
		}
		from, lacks := srv.history.Lack(end, x.Point)
		if at := srv.restart; !lacks && x.Shown && at != nil && at.Timeline == x.Timeline {
			from, lacks = at.LSN, at.Lacks(x.LSN)
		}
		lost := x.Timeline == srv.timeline
		switch {
		case !lacks, x.System != 0 && x.System != srv.system:
		case lost && !x.Complete, !lost && !x.Acked:
		case !x.Complete && from != lsn.Invalid && x.LSN-from < minRecord: // no record ends behind the fork
		case worst == nil || worst.To < x.LSN:
			worst = &LackError{From: from, To: x.LSN, Of: x.Timeline, Lost: lost, By: x.By}
		}
	}
	if worst = worst.join(k.differed(srv)); worst == nil {
		return nil
	}
	worst.System, worst.Timeline = srv.system, srv.timeline
	k.since(srv.endpoint, worst)
	if at := srv.restart; at != nil && worst.Lost && worst.From == lsn.Invalid {
		worst.From = at.LSN
	}
	return worst
}

// refuses reports whether srv is the primary that was seen without WAL up to x. A higher position since then clears it
// of nothing, as the WAL up to there may be other WAL. Only where this store has that WAL itself it is not refused
// here: their bytes are compared.
func (k knowledge) refuses(x knownwal.Known, srv server) bool {
	shown := k.have.Timeline == x.Timeline && k.have.LSN >= x.LSN
	return x.Timeline == srv.timeline && (x.System == 0 || x.System == srv.system) && !shown
}

// words returns the words of operators about e.
func (k knowledge) words(e *LackError) words {
	w := words{given: e.Lost && k.aside != 0 && e.Of == k.aside, aside: k.aside != 0}
	if e.Lost && k.gaveUp != nil {
		w.by = k.gaveUp(e)
	}
	return w
}

// judge refuses srv where it lacks WAL, or where a member that is not heard yet may know of such WAL. have is what the
// store has.
func (k knowledge) judge(have walstore.Positions, srv server) error {
	if e := k.lack(srv); e != nil {
		return e.refusal(k.words(e))
	}
	if _, _, follows := srv.history.SwitchPoint(have.Timeline); follows {
		return waitsFor(k.unheard, srv.timeline)
	}
	return nil
}
