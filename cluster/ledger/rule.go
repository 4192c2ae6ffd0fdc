package ledger

import (
	"fmt"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Parse reads a rule. Errors wrap [ErrRefused] and the parser's, which has PostgreSQL's words.
func Parse(r vote.RuleText) (d quorum.Rule, err error) {
	if len(r.Names) > vote.MaxRule || len(r.Spread) > vote.MaxRule || len(r.Zones) > vote.MaxZones {
		return d, fmt.Errorf("%w: a rule of %d and %d bytes", ErrRefused, len(r.Names), len(r.Spread))
	}
	if d.Names, err = syncrep.Parse(r.Names); err != nil {
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
	d.Ready()
	return d, nil
}

// NextRule returns the rule that d, as configured, becomes at this node. That is the present one if it says the same.
// Otherwise it is a new generation from position reported of t, the highest that was ever reported. The caller makes
// it durable, then calls [Ledger.SetRule]. An empty rule is refused while this node or a member has one (ruling R9),
// unless an operator insists.
func (l *Ledger) NextRule(d vote.RuleText, t lsn.TimelineID, reported lsn.LSN, insist bool) (vote.Rule, error) {
	if _, err := Parse(d); err != nil {
		return vote.Rule{}, err
	}
	present := l.own().state.Rule
	if d.Same(present.RuleText) {
		return present, nil
	}
	next := vote.Rule{RuleText: d, Timeline: t, From: reported, Before: present.RuleText}
	if !present.Established && present.Generation > 0 {
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

// SetRule puts a rule into use that NextRule gave and that is durable. It fails for a rule that does not parse, and
// then changes nothing.
func (l *Ledger) SetRule(r vote.Rule) error {
	d, err := Parse(r.RuleText)
	if err != nil {
		return err
	}
	before, err := Parse(r.Before)
	if err != nil {
		return err
	}
	own := l.own()
	own.state.Rule, own.rule, l.before = r, d, before
	for _, s := range l.ordered {
		s.counted = l.counts(s)
	}
	own.state.Seq++
	return nil
}

// Establish checks whether covered, of timeline t, has passed all that was reported before this node's rule was taken.
// received is the end of this node's WAL. It returns true when that is news; the caller then makes the rule of State
// durable, at leisure. On another timeline than the rule's, what was reported before it is what was received, at most.
func (l *Ledger) Establish(lim Evaluation, t lsn.TimelineID, received lsn.LSN) bool {
	own := l.own()
	r := &own.state.Rule
	from := r.From
	if t != r.Timeline {
		from = min(from, received)
	}
	if r.Established || lim.Flush < from || len(lim.Holds) > 0 {
		return false
	}
	r.Established, r.Before = true, vote.RuleText{}
	own.state.Seq++
	return true
}

// Confirmation lists the members that keep this node's rule from being in force. The zero value: the rule is in force.
type Confirmation struct {
	// Missing are the configured members that have not said, since this node started, that they have the same rule. A
	// commit may still be released by one of them on less.
	Missing []string
	// Unestablished have said so, but commits that they reported before may still rest on another rule.
	Unestablished []string
}

// Confirmed compares the members' rules with this node's. The rule is in force when nobody is missing or unestablished.
func (l *Ledger) Confirmed() (c Confirmation) {
	own := l.own().state.Rule
	for _, name := range l.names() {
		switch m := l.members[name]; {
		case m.forgotten:
		case !m.heard || !m.state.Rule.Same(own.RuleText):
			c.Missing = append(c.Missing, name)
		case !m.state.Rule.Established:
			c.Unestablished = append(c.Unestablished, name)
		}
	}
	return c
}
