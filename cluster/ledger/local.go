package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Ack is the newest report of a standby of this node, or of its store. Write, Flush and Apply are as it said them, not
// clamped. Sent is the position up to which the session had been sent WAL of Timeline, Received the one up to which
// this node has it. For a store Sent is Received.
type Ack struct {
	Incarnation    uint64
	Timeline       lsn.TimelineID
	Received, Sent lsn.LSN
	lsn.Progress
	At        time.Time // when it said so; see Doubt
	Streaming bool      // walsender state streaming or stopping; a store: its stream runs
	Bytes     lsn.Print // what this node has, see vote.Report
}

// Attach adds a session of this proxy; the others learn of it by the next [Ledger.State]. It fails, and the session
// does not vote, beyond vote.MaxSessions, for an incarnation that is there, and for 0.
func (l *Ledger) Attach(now time.Time, incarnation uint64, kind vote.Kind, name string, system lsn.SystemID) error {
	own := l.own()
	k := vote.Key{Node: l.o.Node, Incarnation: incarnation}
	if incarnation == 0 || l.sessions[k] != nil || len(own.state.Sessions) >= vote.MaxSessions {
		return fmt.Errorf("%w: session %d, the node has %d", ErrRefused, incarnation, len(own.state.Sessions))
	}
	if kind == vote.Store {
		name = l.o.Node
	}
	if len(name) > vote.MaxName {
		return fmt.Errorf("%w: name of %d bytes", ErrRefused, len(name))
	}
	x := vote.Session{Key: k, Kind: kind, Name: vote.Fold(name), System: system}
	l.enter(&session{
		Session: x, report: vote.Report{Key: k}, attached: now, met: map[uint64]lsn.LSN{},
	})
	own.state.Sessions = append(slices.Clone(own.state.Sessions), x)
	own.state.Seq++
	return nil
}

// End removes a session of this proxy; unknown ones are ignored.
func (l *Ledger) End(incarnation uint64) {
	k := vote.Key{Node: l.o.Node, Incarnation: incarnation}
	if l.sessions[k] == nil {
		return
	}
	l.leave(k)
	own := l.own()
	isIt := func(x vote.Session) bool { return x.Key == k }
	own.state.Sessions = slices.DeleteFunc(slices.Clone(own.state.Sessions), isIt)
	own.state.Seq++
}

// Ack counts a report of this proxy's session. The Report is for the others; send is false when it says nothing
// new or the timeline is fenced.
func (l *Ledger) Ack(now time.Time, a Ack) (r vote.Report, send bool) {
	s := l.sessions[vote.Key{Node: l.o.Node, Incarnation: a.Incarnation}]
	if s == nil || a.Timeline <= l.own().state.Fenced {
		return vote.Report{}, false
	}
	if s.Kind == vote.Store {
		a.Sent, a.Apply = a.Received, 0
	}
	if a.Sent > a.Received {
		l.counters.Violations++ // a walsender never sends what was not received
		return vote.Report{}, false
	}
	r = vote.Report{
		Key: s.Key, Seq: s.report.Seq + 1, Timeline: a.Timeline, Streaming: a.Streaming,
		Progress: a.Progress.UpTo(a.Sent),
		Distinct: l.prove(s, a),
		Bytes:    a.Bytes,
	}
	if s.doubted.After(a.At) { // said before
		r.Silent = s.report.Silent
	}
	s.heard = a.At
	send = s.merge(now, r)
	return s.report, send
}

// Doubt says that a session here is asked, since a time, whether its standby has left it for a younger one of its name.
// An Ack that came after it ends that. The Report is for the others; false: there is nothing to say.
func (l *Ledger) Doubt(incarnation uint64, since time.Time, silent vote.Silence) (vote.Report, bool) {
	s := l.sessions[vote.Key{Node: l.o.Node, Incarnation: incarnation}]
	if s == nil || s.heard.After(since) || len(silent.Host) > vote.MaxName || s.report.Silent == silent {
		return vote.Report{}, false
	}
	s.doubted = since
	s.report.Silent = silent
	s.report.Seq++
	return s.report, true
}

// Fence makes the promise of ruling R2 for all timelines up to t; the caller has made it durable before.
// Votes of own sessions on such timelines are withdrawn, here at once and elsewhere by the next State.
func (l *Ledger) Fence(t lsn.TimelineID) {
	if own := l.own(); t > own.state.Fenced {
		own.state.Fenced = t
		own.state.Seq++
	}
}

// SetFence replaces the fence, and reports whether it was another one. It is for a store that takes WAL of another
// system than before. For one system a fence is never lowered, see [Ledger.Fence].
func (l *Ledger) SetFence(t lsn.TimelineID) (news bool) {
	own := l.own()
	if own.state.Fenced == t {
		return false
	}
	own.state.Fenced = t
	own.state.Seq++
	return true
}

// SetHistory takes the hashes of this store's history, see vote.State. What members with another one report of
// the same timeline does not count. Say it before Evaluate is called for that timeline.
func (l *Ledger) SetHistory(history uint64, firstWAL vote.Fingerprint) (news bool) {
	own := l.own()
	if own.state.HistoryHash == history && own.state.FirstWAL == firstWAL {
		return false
	}
	own.state.HistoryHash, own.state.FirstWAL = history, firstWAL
	own.state.Seq++
	return true
}

// SetBeyond names, folded, the standbys that have WAL which was given up: they count nowhere (ruling R32).
func (l *Ledger) SetBeyond(names []string) {
	l.beyond = map[string]bool{}
	for _, name := range names {
		l.beyond[name] = true
	}
}

// SetUpstream says whether this node holds an upstream stream and so wants the others' Reports.
func (l *Ledger) SetUpstream(holds bool) {
	if own := l.own(); own.state.Upstream != holds {
		own.state.Upstream = holds
		own.state.Seq++
	}
}

// State returns this node's State, for the others. It is to be sent when its Seq has changed, to a member that
// connects (followed by Reports), and as a sign of life.
func (l *Ledger) State() vote.State { return l.own().state }

// Reports returns the newest of all own sessions that have one, for a member that connects.
func (l *Ledger) Reports() (reports []vote.Report) {
	for _, x := range l.own().state.Sessions {
		if s := l.sessions[x.Key]; s.report.Seq > 0 {
			reports = append(reports, s.report)
		}
	}
	return reports
}
