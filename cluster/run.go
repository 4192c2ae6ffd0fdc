package cluster

import (
	"context"
	"errors"
	"time"
)

// lookInterval is the interval at which lagging voters and silent members are noted. It is the resolution of Status
// and well below every timeout.
const lookInterval = time.Second

// Run lets this node's store vote and keeps the time until ctx ends, and returns the cause. [ErrKnown] comes earlier:
// members know an earlier life of a node that knows of none. Other faults are logged and tried again.
func (n *Node) Run(ctx context.Context) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	again, said := false, "" // what the members' answers ask for is to be tried again, and why
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.o.Store.Moved():
			n.learn()
			n.StoreMoved()
		case <-n.asking.wanted:
			n.tellMemberStatus(time.Now())
		case <-n.lives.wanted:
			if err := n.answered(); errors.Is(err, ErrKnown) {
				return err
			} else if again = err != nil; !again {
				said = ""
			} else if err.Error() != said {
				said = err.Error()
				n.log.Error("cannot remember the start of this node, or what others know of it, retrying", "err", err)
			}
		case <-n.names.wanted:
			n.readHashes()
			n.publishHashes(false)
		case now := <-tick.C:
			n.learn()
			n.publishMemberStatus(now)
			n.readHashes()
			n.publishHashes(true)
			n.look(now)
			n.takesLosses(now)
			n.saveKnown() // when it failed before
			if err := n.saveLosses(); err != nil {
				n.log.Error("cannot remember which WAL was given up, retrying", "err", err)
			}
			if again {
				n.lives.wanted.Wake()
			}
		case <-n.toSave:
			n.saveKnown()
		}
	}
}

// StoreMoved notes the positions of this node's store as its own vote, and has what became reportable reported, on the
// caller's goroutine (see [Node.OnReport]). It does not wait for the disk. Run does it whenever the store's Moved has a
// token: whoever calls it makes that unnecessary.
func (n *Node) StoreMoved() {
	if report := n.heedStore(time.Now()); report != nil {
		report()
	}
}

// heedStore returns the function that the caller has to call next, without a lock; nil: there is nothing to do.
func (n *Node) heedStore(now time.Time) (next func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.o.Store.Positions()
	n.ownVote(now, p)
	n.compare(p)
	news := n.stale || p.Timeline != n.at.Timeline
	switch {
	case news && n.report == nil:
		n.touch()
	case news:
		n.noteNews()
	}
	return n.report // without a rule, too, what was flushed is reported
}

// learn lets the store find out how its timeline begins, for which only other members ask. Once known it costs
// nothing. The caller does not hold mu.
func (n *Node) learn() {
	if len(n.o.Members) > 0 {
		n.o.Store.Learn()
	}
}

// look evaluates anew, as time alone may have changed the answer, and notes who is behind.
func (n *Node) look(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.last.Progress
	_, streams := n.o.Store.Streams()
	n.ledger.SetUpstream(streams)
	n.publish()
	n.publishLives(now)
	n.stale = true
	if n.evaluate(now).Progress != before {
		n.touch()
	}
	n.waiting.look(now, n)
	n.adoptLosses()
	n.retain(now)
	n.tell()
}

// tell logs when the rule can't be satisfied any more with who is there, and when it can again. The caller
// holds mu.
func (n *Node) tell() {
	if n.ledger.State().Rule.Names == "" {
		return
	}
	ok, why := n.satisfiable(n.last, flush)
	switch {
	case !ok && why != n.told:
		n.mu.After(func() {
			n.log.Warn("the rule cannot be satisfied: commits that wait for this proxy wait", "why", why)
		})
	case ok && n.told != "":
		n.mu.After(func() { n.log.Info("the rule can be satisfied again") })
	}
	n.told = why
}
