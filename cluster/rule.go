package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// SetRule changes the rule; it is durable when it is in force. It blocks for the disk. With other members an empty rule
// is refused while one of them has one (ruling R9). After an error the one before is in force. Any goroutine may call
// it.
func (n *Node) SetRule(d vote.RuleText) error { return n.setRule(d, len(n.o.Members) == 0) }

// DropRule takes this node's rule away for good, as SetRule does with an empty one, because an operator says so. The
// rules of members that are heard hold all the same; that of one that is silent is superseded.
func (n *Node) DropRule() error { return n.setRule(vote.RuleText{}, true) }

// RuleWaits returns why this node's rule must not be dropped; nil: it may be. ask returns the primary's
// synchronous_standby_names, if it can be asked; proxies are those of the cluster. Without a rule nobody is asked.
func (n *Node) RuleWaits(ask func() (setting string, known bool), proxies []string) error {
	if n.Status().Rule == "" {
		return nil
	}
	if setting, known := ask(); known {
		return Waits(setting, proxies)
	}
	return nil
}

// Waits returns why a rule must not be dropped while the primary has setting for synchronous_standby_names; nil: the
// primary waits for none of the proxies (ruling R48).
func Waits(setting string, proxies []string) error {
	rule, err := syncrep.Parse(setting)
	if err != nil {
		return nil
	}
	for _, name := range proxies {
		if rule.Priority(name) > 0 {
			return fmt.Errorf("the primary's synchronous_standby_names (%s) still waits for %s: its commits would be "+
				"durable in a proxy's store only; change it first (--force drops the rule all the same)", setting, name)
		}
	}
	return nil
}

func (n *Node) setRule(d vote.RuleText, insist bool) error {
	var rule vote.Rule
	var refused error
	err := n.change(func(r *record) (err error) {
		p := n.o.Store.Positions()
		rule, err = n.ledger.NextRule(d, p.Timeline, p.reported(), insist)
		r.Rule = rule
		if err == nil {
			n.coming = rule // its beginning is now, not when it will be durable
		}
		return err
	}, func() {
		refused = n.ledger.SetRule(rule)
		n.establishing = unestablished(n.ledger.State().Rule)
		n.retain(time.Now())
	})
	return errors.Join(err, refused)
}

// unestablished reports whether a rule has yet to cover what was reported before it.
func unestablished(r vote.Rule) bool { return r.Generation > 0 && !r.Established }

// saveKnown writes to disk whether the rule is established, which forgotten members are back, and the lives that were
// heard. Once it is on disk that the rule is established, reports may go beyond the position at which it began.
func (n *Node) saveKnown() {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	r, unproven := n.known(), n.unproven
	n.mu.Unlock()
	if unproven { // a refused start leaves no memory
		return
	}
	before := n.forgotten
	if err := errors.Join(n.remember(r), n.rememberLives()); err != nil {
		n.log.Error("cannot remember the rule and who is back, retrying", "err", err)
		return
	}
	for _, name := range before {
		if !slices.Contains(r.forgotten, name) {
			n.log.Info("a forgotten member is back and counts again", "member", name)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.establishing && !unestablished(r.Rule) {
		n.establishing = false
		n.touch()
	}
}

// beginning returns the position at which an unestablished rule that a start finds begins: the end of all that the
// store has had. A change whose save failed may be on the disk all the same, while the rule before it went on.
func beginning(r vote.Rule, p Positions) (lsn.TimelineID, lsn.LSN) {
	switch p.Timeline {
	case 0: // the store was begun anew: it does not know
		return r.Timeline, r.From
	case r.Timeline:
		return r.Timeline, max(r.From, p.reported())
	}
	return p.Timeline, p.reported()
}

// reportable returns the positions of l that may be reported. Until it is durable that the rule covers its beginning,
// they are at most that beginning, and at most what the rule before it covers. A rule that is dropped earlier leaves no
// trace, so nothing may rest on it alone. While the rule began on another timeline than the present one, nothing may be
// reported. The caller holds mu, and l is of n.at.
func (n *Node) reportable(l ledger.Evaluation) lsn.Progress {
	p := l.Progress
	if n.unproven {
		return lsn.Progress{}
	}
	if n.establishing {
		p = n.upTo(n.ledger.State().Rule, quorum.Least(p, n.before))
	}
	if unestablished(n.coming) {
		p = n.upTo(n.coming, p)
	}
	return p
}

// upTo returns p, at most up to where r began. The caller holds mu.
func (n *Node) upTo(r vote.Rule, p lsn.Progress) lsn.Progress {
	if r.Timeline != n.at.Timeline {
		return lsn.Progress{}
	}
	return p.UpTo(r.From)
}
