package cluster

import (
	"context"
	"errors"
	"time"
)

// lookInterval is the interval at which lagging voters and silent members are noted. It is the resolution of Status
// and well below every timeout.
const lookInterval = time.Second

// Run lets this node's store vote and keeps the time until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	again, said := false, "" // what the members' answers ask for is to be tried again, and why
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.o.Store.Moved():
			n.storeMoved(time.Now())
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

// storeMoved wakes the reporter when this node's store's vote has changed something. The caller does not hold mu.
func (n *Node) storeMoved(now time.Time) {
	n.learn()
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.o.Store.Positions()
	n.ownVote(now, p)
	n.compare(p)
	if n.stale || p.Timeline != n.at.Timeline {
		n.touch()
	}
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
	ok, why := satisfiable(n.last, flush)
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
