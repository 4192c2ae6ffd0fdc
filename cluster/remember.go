package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fencePoll is how often a fence looks whether the store has flushed what it received.
const fencePoll = 10 * time.Millisecond

// recalled is a node that starts, as it remembers itself.
type recalled struct {
	ledger *ledger.Ledger
	saved  []byte // what the disk has of it; nil: not known
	fences fences
	silent bool // it may not vote or report yet, see Node.unproven
}

// recall makes the ledger of a node that starts: from what it remembers, and with the rule as it is
// configured now. Everything is durable before it is used: where the volume is full, the node is silent until it is.
func recall(o Options, m memory, save func([]byte) error) (r recalled, err error) {
	was, err := m.load()
	if err != nil {
		return r, err
	}
	if r.fences, err = m.fences(was.Boot, was.Fenced); err != nil {
		o.Logger.Error("of which system a fence is, is not known: of every one", "err", err)
	}
	forgotten, err := m.forgotten(o.keyOf)
	if errors.Is(err, errDamaged) {
		o.Logger.Error("whom an operator has removed is not known: nobody", "err", err)
	} else if err != nil {
		return r, err
	}
	was.Node = o.Name
	was.Boot++
	r.ledger, err = ledger.New(ledger.Options{
		Node: o.Name, Boot: was.Boot, Members: o.Members, Timeout: o.Timeout, Rule: was.Rule,
		Fenced:    r.fences.of(o.Store.Positions().System),
		Forgotten: forgotten, Key: o.OwnKey, Run: rand.Uint64() | 1,
	})
	if err != nil {
		return r, err
	}
	before, err := encode(was)
	if err != nil {
		return r, err
	}
	p := o.Store.Positions()
	was.Rule, err = r.ledger.NextRule(o.Demand, p.Timeline, p.reported(), len(o.Members) == 0)
	if err != nil {
		return r, err
	}
	if unsettled(was.Rule) {
		was.Rule.Timeline, was.Rule.From = beginning(was.Rule, p)
	}
	if unproven(o) { // nothing is used before it is proven, see answered: a refused start leaves no memory
		r.silent = true
		return r, r.ledger.SetRule(was.Rule)
	}
	now, err := encode(was)
	if err == nil {
		err = save(now)
	}
	switch {
	case err == nil:
		r.saved = now
		if err := m.saveFences(was.Boot, r.fences); err != nil {
			o.Logger.Error("cannot remember of which system a fence is: after a restart it is of every one", "err", err)
		}
	case !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT):
		return r, fmt.Errorf("remember boot, rule and fence: %w", err)
	case len(o.Members) == 0 && bytes.Equal(now, before):
		// Nobody else counts boots. A proxy must start on a full disk, or it could never make room on it.
		o.Logger.Error("cannot remember the start of this node", "err", err)
	default:
		o.Logger.Error("cannot remember the start of this node: until there is room it neither votes nor reports",
			"err", err)
		r.silent = true
	}
	return r, r.ledger.SetRule(was.Rule)
}

// keyOf is [Options.Key]; "": none.
func (o *Options) keyOf(member string) string {
	if o.Key == nil {
		return ""
	}
	return o.Key(member)
}

// record is what the disk has, or is to have.
type record struct {
	vote.State
	forgotten []string
}

// known is what the ledger says of that. The caller holds mu.
func (n *Node) known() record {
	r := record{n.ledger.State(), n.ledger.Forgotten()}
	r.Fenced = n.fences.highest() // whatever the store's system is now
	return r
}

// change makes the ledger what f says: save f's record, then put. All of it under saving, so that whoever
// saves next saves what this one has made durable, and a promise is never overwritten.
func (n *Node) change(f func(*record) error, put func()) error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	r := n.known()
	err := f(&r)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	err = n.remember(r)
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.touch()
	n.coming = vote.Rule{}
	if err != nil {
		return fmt.Errorf("remember boot, rule, fence and who is forgotten: %w", err)
	}
	put()
	return nil
}

// remember saves what the disk has otherwise. The caller holds saving.
func (n *Node) remember(r record) error {
	b, err := encode(r.State)
	if err == nil && !bytes.Equal(b, n.saved) {
		if err = n.save(b); err == nil {
			n.saved = b
		}
	}
	if err != nil || slices.Equal(r.forgotten, n.forgotten) {
		return err
	}
	if err = memory(n.o.Dir).saveForgotten(r.forgotten, n.o.keyOf); err == nil {
		n.forgotten = r.forgotten
	}
	return err
}

// SetDemand changes the rule; it is durable when it is in force. It blocks for the disk. With other members
// an empty rule is refused while one of them has one (ruling R9). After an error the one before is in force.
func (n *Node) SetDemand(d vote.Demand) error { return n.setDemand(d, len(n.o.Members) == 0) }

// DropRule takes the own rule away for good, as SetDemand does with an empty one, because an operator says
// so. The rules of members that are heard hold all the same; that of one that is silent is superseded.
func (n *Node) DropRule() error { return n.setDemand(vote.Demand{}, true) }

func (n *Node) setDemand(d vote.Demand, insist bool) error {
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
		n.settling = unsettled(n.ledger.State().Rule)
		n.retain(time.Now())
	})
	return errors.Join(err, refused)
}

// Forget removes a member on an operator's word that it is gone (ruling R5), durably: it is not waited for,
// what it has said is dropped. It blocks for the disk. One that lives is refused; one that is heard again
// counts again, and so it is remembered. Errors of the ledger wrap [ledger.ErrRefused].
func (n *Node) Forget(member string) error {
	refusal := func() error {
		switch {
		case !slices.Contains(n.o.Members, member):
			return fmt.Errorf("%w: %q is no other member of this cluster", ledger.ErrRefused, member)
		case n.ledger.Lives(time.Now(), member):
			return fmt.Errorf("%w: %q was heard within %s: stop it first", ledger.ErrRefused, member, n.o.Timeout)
		}
		return nil
	}
	var refused error
	err := n.change(func(r *record) error {
		r.forgotten = append(r.forgotten, member)
		slices.Sort(r.forgotten)
		r.forgotten = slices.Compact(r.forgotten)
		return refusal()
	}, func() {
		if refused = refusal(); refused == nil { // or it is back: settle remembers that
			refused = n.ledger.Forget(member)
			n.lives.forget(member)
			signal(n.lives.wanted) // it may be the last that a new node waits for
		}
	})
	if err = errors.Join(err, refused); err == nil {
		n.log.Warn("forgotten: this member is not waited for until it is heard again", "member", member)
	}
	return err
}

// Recall takes an operator's word back: the member is waited for again. It blocks for the disk. Errors of the ledger
// wrap [ledger.ErrRefused].
func (n *Node) Recall(member string) error {
	err := n.change(func(r *record) error {
		i := slices.Index(r.forgotten, member)
		if i < 0 {
			return fmt.Errorf("%w: %q is not forgotten", ledger.ErrRefused, member)
		}
		r.forgotten = slices.Delete(r.forgotten, i, i+1)
		return nil
	}, func() { n.ledger.Recall(member) })
	if err == nil {
		n.log.Warn("a forgotten member is waited for again", "member", member)
	}
	return err
}

// Forgotten are the members that an operator has removed and that have not been heard since.
func (n *Node) Forgotten() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Forgotten()
}

// Ending is a fenced node's answer: the promise, and how far its store is durable.
type Ending struct {
	Node     string         `json:"node"`
	System   lsn.SystemID   `json:"system_identifier"` // that the promise is about; 0: every one
	Fenced   lsn.TimelineID `json:"fenced"`
	Timeline lsn.TimelineID `json:"timeline"`
	Flushed  lsn.LSN        `json:"flushed_lsn"`
}

// Fence promises durably never again to vote or report for a timeline up to t (ruling R2) of the store's system, of
// every one while the store has none; it withdraws the
// votes of the standbys that this node serves, waits until the store has flushed what it had received
// then, and says how far it is. A promise is never taken back.
func (n *Node) Fence(ctx context.Context, t lsn.TimelineID) (Ending, error) {
	var fenced lsn.TimelineID
	system := n.o.Store.Positions().System
	err := n.change(func(r *record) error {
		r.Fenced = max(r.Fenced, t)
		return nil
	}, func() {
		n.fences = n.fences.with(system, t)
		n.ledger.Fence(t)
		fenced = n.ledger.State().Fenced
	})
	if err != nil {
		return Ending{}, err
	}
	n.noteFences()
	n.log.Warn("fenced: this proxy never again votes or reports for these timelines", "up_to_timeline", fenced,
		"system", system)
	goal := n.o.Store.Positions()
	tick := time.NewTicker(fencePoll)
	defer tick.Stop()
	for {
		p := n.o.Store.Positions()
		if p.Timeline != goal.Timeline || p.Flushed >= goal.Received {
			n.publishAccount(time.Now())
			return Ending{Node: n.o.Name, System: system, Fenced: fenced, Timeline: p.Timeline, Flushed: p.Flushed}, nil
		}
		select {
		case <-ctx.Done():
			return Ending{}, fmt.Errorf("fenced, but the store has not flushed %s: %w",
				goal.Received, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
