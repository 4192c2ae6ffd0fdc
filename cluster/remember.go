package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fencePoll is how often a fence looks whether the store has flushed what it received.
const fencePoll = 10 * time.Millisecond

// recall makes the ledger of a node that starts: from what it remembers, and with the rule as it is
// configured now. Everything is durable before it is used.
func recall(o Options, m memory) (*ledger.Ledger, []byte, error) {
	was, err := m.load()
	if err != nil {
		return nil, nil, err
	}
	was.Node = o.Name
	was.Boot = max(was.Boot+1, uint64(time.Now().UnixMicro()))
	l, err := ledger.New(ledger.Options{
		Node: o.Name, Boot: was.Boot, Members: o.Members, Timeout: o.Timeout, Rule: was.Rule, Fenced: was.Fenced,
	})
	if err != nil {
		return nil, nil, err
	}
	before, err := encode(was)
	if err != nil {
		return nil, nil, err
	}
	p := o.Store.Positions()
	was.Rule, err = l.NextRule(o.Demand, p.Timeline, p.reported(), len(o.Members) == 0)
	if err != nil {
		return nil, nil, err
	}
	saved, err := encode(was)
	if err == nil {
		err = m.save(saved)
	}
	if errors.Is(err, syscall.ENOSPC) && len(o.Members) == 0 && bytes.Equal(saved, before) {
		// Nobody else counts boots. A proxy must start on a full disk, or it could never make room on it.
		o.Logger.Error("cannot remember the start of this node", "err", err)
		saved, err = nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("remember boot, rule and fence: %w", err)
	}
	return l, saved, l.SetRule(was.Rule)
}

// change makes the ledger what f says: save f's state, then put. All of it under saving, so that whoever
// saves next saves what this one has made durable, and a promise is never overwritten.
func (n *Node) change(f func(*vote.State) error, put func()) error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	s := n.ledger.State()
	err := f(&s)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	if err := n.remember(s); err != nil {
		return fmt.Errorf("remember boot, rule and fence: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	put()
	n.touch()
	return nil
}

// remember saves s if the disk has something else. The caller holds saving.
func (n *Node) remember(s vote.State) error {
	b, err := encode(s)
	if err != nil || bytes.Equal(b, n.saved) {
		return err
	}
	if err := n.save(b); err != nil {
		return err
	}
	n.saved = b
	return nil
}

// unsettled reports whether a rule has yet to cover what was reported before it.
func unsettled(r vote.Rule) bool { return r.Generation > 0 && !r.Settled }

// settle remembers what the ledger has found out, and lets go what waited for that.
func (n *Node) settle() {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	s := n.ledger.State()
	n.mu.Unlock()
	if err := n.remember(s); err != nil {
		n.log.Error("cannot remember the rule, retrying", "err", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settling && !unsettled(s.Rule) {
		n.settling = false
		n.touch()
	}
}

// SetDemand changes the rule; it is durable when it is in force. It blocks for the disk. With other members
// an empty rule is refused while one of them has one (ruling R9). After an error the one before is in force.
func (n *Node) SetDemand(d vote.Demand) error {
	var rule vote.Rule
	var refused error
	err := n.change(func(s *vote.State) (err error) {
		p := n.o.Store.Positions()
		rule, err = n.ledger.NextRule(d, p.Timeline, p.reported(), len(n.o.Members) == 0)
		s.Rule = rule
		return err
	}, func() {
		refused = n.ledger.SetRule(rule)
		n.settling = unsettled(n.ledger.State().Rule)
	})
	return errors.Join(err, refused)
}

// Ending is a fenced node's answer: the promise, and how far its store is durable.
type Ending struct {
	Node     string         `json:"node"`
	Fenced   lsn.TimelineID `json:"fenced"`
	Timeline lsn.TimelineID `json:"timeline"`
	Flushed  lsn.LSN        `json:"flushed_lsn"`
}

// Fence promises durably never again to vote or report for a timeline up to t (ruling R2), withdraws the
// votes of the standbys that this node serves, waits until the store has flushed what it had received
// then, and says how far it is. A promise is never taken back.
func (n *Node) Fence(ctx context.Context, t lsn.TimelineID) (Ending, error) {
	var fenced lsn.TimelineID
	err := n.change(func(s *vote.State) error {
		s.Fenced = max(s.Fenced, t)
		return nil
	}, func() {
		n.ledger.Fence(t)
		fenced = n.ledger.State().Fenced
	})
	if err != nil {
		return Ending{}, err
	}
	n.log.Warn("fenced: this proxy never again votes or reports for these timelines", "up_to_timeline", fenced)
	goal := n.o.Store.Positions()
	tick := time.NewTicker(fencePoll)
	defer tick.Stop()
	for {
		p := n.o.Store.Positions()
		if p.Timeline != goal.Timeline || p.Flushed >= goal.Received {
			n.publishAccount(time.Now())
			return Ending{Node: n.o.Name, Fenced: fenced, Timeline: p.Timeline, Flushed: p.Flushed}, nil
		}
		select {
		case <-ctx.Done():
			return Ending{}, fmt.Errorf("fenced, but the store has not flushed %s: %w",
				goal.Received, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
