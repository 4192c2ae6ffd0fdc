package walsender

import (
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// NextTimeline is the row that follows the end of a historic timeline: where to continue.
type NextTimeline struct {
	Timeline lsn.TimelineID // next_tli
	Start    lsn.LSN        // next_tli_startpos, the switch point
}

// Plan is an admitted START_REPLICATION: which timeline is streamed and where it ends.
type Plan struct {
	Timeline lsn.TimelineID
	Start    lsn.LSN
	Historic bool         // Timeline has been left; Next says where and for which one
	Next     NextTimeline // zero unless Historic
	Known    lsn.LSN      // up to here the primary surely has WAL; Invalid: not known
}

// Nothing reports whether there is no byte to stream: the start is the switch point itself, and the
// answer is the row alone, without COPY (facts E1).
func (p Plan) Nothing() bool { return p.Historic && p.Start >= p.Next.Start }

// Admit checks a requested timeline (0: the current one) and start against the history of the store,
// in PostgreSQL's order and words (facts E1). A start below the timeline's own beginning is allowed.
func Admit(h lsn.History, tli lsn.TimelineID, start lsn.LSN) (Plan, error) {
	if tli == 0 || tli == h.Timeline {
		return Plan{Timeline: h.Timeline, Start: start}, nil
	}
	at, next, ok := h.SwitchPoint(tli)
	if !ok {
		return Plan{}, errTimeline(tli)
	}
	if start > at {
		return Plan{}, pgerror.New(pgerror.InternalError,
			"requested starting point %s on timeline %s is not in this server's history", start, tli).
			WithDetail("This server's history forked from timeline %s at %s.", tli, at)
	}
	return Plan{Timeline: tli, Start: start, Historic: true, Next: NextTimeline{next, at}}, nil
}

func errTimeline(tli lsn.TimelineID) error {
	return pgerror.New(pgerror.InternalError, "requested timeline %s is not in this server's history", tli)
}

func errAhead(start, horizon lsn.LSN) error {
	return pgerror.New(pgerror.InternalError,
		"requested starting point %s is ahead of the WAL flush position of this server %s", start, horizon)
}
