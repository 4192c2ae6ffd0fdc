package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
)

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
	was.Rule, err = r.ledger.NextRule(o.Rule, p.Timeline, p.reported(), len(o.Members) == 0)
	if err != nil {
		return r, err
	}
	if unestablished(was.Rule) {
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

// keyOf returns the member's key by [Options.Key]; "": none is configured.
func (o *Options) keyOf(member string) string {
	if o.Key == nil {
		return ""
	}
	return o.Key(member)
}

// record has the state that is on the disk, or is to be.
type record struct {
	vote.State
	forgotten []string
}

// known returns the record that the ledger would have now. The caller holds mu.
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

// remember saves the files of r that the disk has otherwise, the state first. After an error the next call tries again.
// The caller holds saving.
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
