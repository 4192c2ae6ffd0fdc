package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
)

// Forget removes a member on an operator's word that it is gone (ruling R5), durably. It is not waited for, and not
// told of as late. Its reports are dropped, and what it had reported is held against servers until a restart. It blocks
// for the disk. One that lives is refused; one that is heard again counts again, and so it is remembered. Errors of the
// ledger wrap [ledger.ErrRefused].
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
		if refused = refusal(); refused == nil { // or it is back: saveKnown remembers that
			refused = n.ledger.Forget(member)
			n.lives.forget(member)
			n.statuses.forget(member)
			n.lives.wanted.Wake() // it may be the last that a new node waits for
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

// Forgotten returns the members that an operator has removed and that have not been heard since.
func (n *Node) Forgotten() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Forgotten()
}
