package ledger

import (
	"fmt"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Parse reads a demand. Errors wrap [ErrRefused] and the parser's, which has PostgreSQL's words.
func Parse(r vote.Demand) (d quorum.Demand, err error) {
	if len(r.Names) > vote.MaxRule || len(r.Spread) > vote.MaxRule || len(r.Zones) > vote.MaxZones {
		return d, fmt.Errorf("%w: a rule of %d and %d bytes", ErrRefused, len(r.Names), len(r.Spread))
	}
	if d.Rule, err = syncrep.Parse(r.Names); err != nil {
		return d, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if d.Spread, err = syncrep.Parse(r.Spread); err != nil {
		return d, fmt.Errorf("%w: zones: %w", ErrRefused, err)
	}
	d.Zones = map[string]string{}
	for _, z := range r.Zones {
		for _, v := range z.Voters {
			if other, twice := d.Zones[vote.Fold(v)]; twice {
				return d, fmt.Errorf("%w: voter %q is in the zones %q and %q", ErrRefused, v, other, z.Name)
			}
			d.Zones[vote.Fold(v)] = z.Name
		}
	}
	if err := d.Check(); err != nil {
		return d, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return d, nil
}

// NextRule is what d, as configured, becomes at this node: the present rule when it demands the same, else
// a new generation that holds from reported, the highest position that was ever reported, on t. The
// caller makes it durable, then calls [Ledger.SetRule]. An empty rule is refused while this node or a
// member has one (ruling R9), unless an operator insists.
func (l *Ledger) NextRule(d vote.Demand, t lsn.TimelineID, reported lsn.LSN, insist bool) (vote.Rule, error) {
	if _, err := Parse(d); err != nil {
		return vote.Rule{}, err
	}
	present := l.own().state.Rule
	if d.Same(present.Demand) {
		return present, nil
	}
	next := vote.Rule{Demand: d, Timeline: t, From: reported, Before: present.Demand}
	if !present.Settled && present.Generation > 0 {
		// Nothing was reported on a rule alone that never covered its From (see Before): it leaves no trace.
		next.Before = present.Before
	}
	for name, m := range l.members {
		if d.Names == "" && m.state.Rule.Names != "" && !insist {
			return vote.Rule{}, fmt.Errorf("%w: an empty synchronous_standby_names, while node %q has %q "+
				"(to take it away for good: replproxy drop-rule)", ErrRefused, name, m.state.Rule.Names)
		}
		next.Generation = max(next.Generation, m.state.Rule.Generation)
	}
	next.Generation++
	return next, nil
}

// SetRule puts a rule into use that NextRule gave and that is durable.
func (l *Ledger) SetRule(r vote.Rule) error {
	d, err := Parse(r.Demand)
	if err != nil {
		return err
	}
	before, err := Parse(r.Before)
	if err != nil {
		return err
	}
	own := l.own()
	own.state.Rule, own.demand, l.before = r, d, before
	own.state.Seq++
	return nil
}

// Settle looks whether lim, of timeline t, of which this node has received WAL up to received, covers all
// that was reported before the own rule was taken, and reports whether that is news: then the rule of State
// is to be made durable, at leisure. On another timeline than the rule's, what was reported before it is
// what was received, at most.
func (l *Ledger) Settle(lim Limits, t lsn.TimelineID, received lsn.LSN) bool {
	own := l.own()
	r := &own.state.Rule
	from := r.From
	if t != r.Timeline {
		from = min(from, received)
	}
	if r.Settled || lim.Flush < from || len(lim.Holds) > 0 {
		return false
	}
	r.Settled, r.Before = true, vote.Demand{}
	own.state.Seq++
	return true
}

// Confirmation is how far the own rule is in force.
type Confirmation struct {
	// Missing are the configured members that have not said, since this node started, that they demand
	// the same. A commit may still be released by one of them on less.
	Missing []string
	// Unsettled have said so, but commits that they reported before may still rest on another demand.
	Unsettled []string
}

// Confirmed says who has confirmed the own rule. It is in force when nobody is missing or unsettled.
func (l *Ledger) Confirmed() (c Confirmation) {
	own := l.own().state.Rule
	for _, name := range l.names() {
		switch m := l.members[name]; {
		case m.forgotten:
		case !m.heard || !m.state.Rule.Same(own.Demand):
			c.Missing = append(c.Missing, name)
		case !m.state.Rule.Settled:
			c.Unsettled = append(c.Unsettled, name)
		}
	}
	return c
}
