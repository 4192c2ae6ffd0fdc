package walsource

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Status is a snapshot for /status, /readyz and for the answers that the proxy gives from cache. The
// maps are the caller's.
type Status struct {
	walreceiver.Status
	// Lacks are the timelines that are not followed because they lack acknowledged WAL. The last refusal is the last.
	Lacks      []*LackError
	LostBy     *LostBy // what was refused last for WAL that it had lost, until a server is followed; nil: nothing
	Stop       *Stop   // why no more WAL comes without somebody's doing; nil: it comes, or may come by itself
	Reconnects int     // connections begun after the first
	// Late: members that were not heard when the stored timeline was followed may have acknowledged WAL that it lacks.
	Late []LackError
	// RefusedSince is the first refusal of a server for its WAL since one was streamed from; zero: there was none.
	RefusedSince time.Time
}

// LostBy is WAL that a server has lost, and the server.
type LostBy struct {
	Endpoint string // "": it was refused before this start
	LackError
}

// Status takes a snapshot. It never blocks for long and may be called from any goroutine.
func (r *Supply) Status() Status {
	s := Status{Status: r.rcv.Status()}
	r.locked(func() { s.Lacks, s.Stop, s.Reconnects = r.lacks, r.stopped, r.reconnects })
	r.locked(func() { s.RefusedSince, s.LostBy = r.refusedSince, r.lostBy })
	if late := r.late.Load(); late != nil {
		s.Late = slices.Clone(*late)
	}
	if s.Stop != nil && s.Stop.over(&s.Status, r.o.Store.Positions().Received, time.Now()) {
		s.Stop = nil
	}
	return s
}

// Lack returns the last refusal of Lacks; nil: there is none.
func (s Status) Lack() *LackError {
	if len(s.Lacks) == 0 {
		return nil
	}
	return s.Lacks[len(s.Lacks)-1]
}

// Lost returns the WAL that the primary which is refused has lost itself, by what this proxy has; nil: none. What
// members have said is left to them.
func (s Status) Lost() *LackError {
	for _, l := range slices.Backward(s.Lacks) {
		if l.Lost && l.By == "" && s.State != walreceiver.Streaming {
			return l
		}
	}
	return nil
}

// State returns Status().State, cheaply.
func (r *Supply) State() walreceiver.State { return r.rcv.State() }

// ServerVersionNum returns Status().ServerVersionNum, cheaply.
func (r *Supply) ServerVersionNum() int { return r.rcv.ServerVersionNum() }

// Streams reports whether WAL comes in, and from which member of the cluster; "" is a server.
func (r *Supply) Streams() (member string, ok bool) { return r.rcv.Streams() }

// Stuck reports whether the disk takes nothing of the WAL that comes, see [walreceiver.Receiver.Stuck].
func (r *Supply) Stuck() bool { return r.rcv.Stuck() }

// Changed takes over settings of the upstream that were changed while it is streamed from, as SHOW has them.
func (r *Supply) Changed(settings map[string]string) { r.rcv.Changed(settings) }

// Reporter returns the function that reports what has become reportable, see [walreceiver.Receiver.ReportNow].
func (r *Supply) Reporter() func() { return r.rcv.ReportNow }

// FeedbackDue has the upstream told of feedback that has changed. Any goroutine may call it.
func (r *Supply) FeedbackDue() { r.rcv.FeedbackDue() }

// RuleGateUsable reports whether the present stream could use slots.rule_gate. Any goroutine may call it.
func (r *Supply) RuleGateUsable() bool { return r.rcv.RuleGateUsable() }

// RuleGated reports whether the present stream uses slots.rule_gate. Any goroutine may call it.
func (r *Supply) RuleGated() bool { return r.rcv.RuleGated() }

// Following returns the server and timeline that the stored WAL is streamed from. False while there is no stream, or
// the store has not gone over to its timeline yet: its flushed WAL says nothing about that server then.
//
// A server that has removed the WAL which the store lacks is followed as well, and our slot is looked after there, so
// that no more goes. While a member of the cluster is streamed from, the primary is returned. Any goroutine may ask.
func (r *Supply) Following() (e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID, ok bool) {
	e, system, t, member, flows := r.rcv.Follows()
	r.mu.Lock()
	ok = flows || r.starving
	if member != "" {
		e, ok = r.primary, ok && r.primaryKnown
	}
	r.mu.Unlock()
	return e, system, t, ok && r.o.Store.Positions().Timeline == t
}

// Followed returns the server that [Supply.Following] does, with its settings. streams: WAL comes from it, or by a
// member. Without a stream the settings may be those of another server that was tried. Any goroutine may ask.
func (r *Supply) Followed() (e upstream.Endpoint, settings map[string]string, streams bool) {
	e, _, _, following := r.Following()
	s := r.rcv.Status()
	return e, s.Settings, following && s.State == walreceiver.Streaming
}

// starve notes whether the server that streamed last has removed the WAL which the store lacks.
func (r *Supply) starve(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starving = yes
}
