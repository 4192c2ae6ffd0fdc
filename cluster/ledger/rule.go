package ledger

import (
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Demand parses a rule. Errors wrap [ErrRefused] and the parser's, which has PostgreSQL's words.
func Demand(r vote.Rule) (d quorum.Demand, err error) {
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

// NextRule is what r, as configured, becomes at this node: the present rule when it demands the same, else
// a new generation that holds from reported, the highest position that was ever reported on t. The
// caller makes it durable, then calls [Ledger.SetRule]. An empty rule is refused while this node or a
// member has one (ruling R9), unless an operator insists.
func (l *Ledger) NextRule(r vote.Rule, t lsn.TimelineID, reported lsn.LSN, insist bool) (vote.Rule, error) {
	if _, err := Demand(r); err != nil {
		return vote.Rule{}, err
	}
	present := l.own().state.Rule
	if r.Same(present) {
		return present, nil
	}
	r.Generation, r.Timeline, r.From = present.Generation, t, reported
	for name, m := range l.members {
		if r.Names == "" && m.state.Rule.Names != "" && !insist {
			return vote.Rule{}, fmt.Errorf("%w: an empty synchronous_standby_names, while node %q has %q",
				ErrRefused, name, m.state.Rule.Names)
		}
		r.Generation = max(r.Generation, m.state.Rule.Generation)
	}
	r.Generation++
	return r, nil
}

// SetRule puts a rule into use that NextRule gave and that is durable.
func (l *Ledger) SetRule(r vote.Rule) error {
	d, err := Demand(r)
	if err != nil {
		return err
	}
	own := l.own()
	own.state.Rule, own.demand = r, d
	own.state.Seq++
	return nil
}

// Confirmation is how far the own rule is in force.
type Confirmation struct {
	// Missing are the configured members that have not said, since this node started, that they demand
	// the same. A commit may still be released by one of them on less.
	Missing []string
	// From is the position from which every member holds the rule. While Limits are below it, commits up
	// to it may rest on the rule before.
	From lsn.LSN
}

// Confirmed says who has confirmed the own rule. It is in force when nobody is missing and the limits have
// reached From.
func (l *Ledger) Confirmed(t lsn.TimelineID) (c Confirmation) {
	own := l.own().state.Rule
	for name, m := range l.members {
		switch {
		case m.forgotten:
		case !m.heard || !m.state.Rule.Same(own):
			c.Missing = append(c.Missing, name)
		case m.state.Rule.Timeline == t:
			c.From = max(c.From, m.state.Rule.From)
		}
	}
	slices.Sort(c.Missing)
	return c
}
