package cluster

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/replproxy/replproxy/internal/nudge"
)

// askPatience bounds Ask's wait for answers. A member that is up answers within a round trip and what its disk
// takes; one that has just died is not waited for by a failover for longer.
const askPatience = time.Second

// asking is the newest question of this node, and what it has been asked; guarded by Node.mu. Questions and answers
// travel in member statuses, so a status that answers was made after the question.
type asking struct {
	num      uint64            // of the question
	asked    map[string]uint64 // by member, its newest question
	answered chan struct{}     // closed at each status that is heard
	wanted   nudge.Chan        // a question came
}

func newAsking() asking {
	// Nobody takes an answer to a question of the life before for one to this.
	num := rand.Uint64() | 1
	return asking{num: num, asked: map[string]uint64{}, answered: make(chan struct{}), wanted: nudge.New()}
}

// hear notes the question in a status of member, and that somebody may have got an answer. asks 0 is no question.
func (q *asking) hear(member string, asks uint64) {
	close(q.answered)
	q.answered = make(chan struct{})
	if asks == 0 || q.asked[member] == asks {
		return
	}
	q.asked[member] = asks
	q.wanted.Wake()
}

// Ask returns when every member that can be reached has said, after the call, what it has and what it reported, so
// that [Node.Known] is as new as that. Statuses are otherwise some seconds old, and a member that has just started
// hears old ones first. It waits for askPatience at most: a member that does not answer may be gone with the primary.
// One of release v0.1.0 is not asked. It may wait for the disk as well, to say what this node has.
func (n *Node) Ask(ctx context.Context) {
	if len(n.o.Members) == 0 || n.o.Outbox == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	n.askAll(ctx)
}

// askAll asks all members as Ask does, and waits until ctx ends at most. Questions may overlap.
func (n *Node) askAll(ctx context.Context) {
	n.mu.Lock()
	n.asking.num++
	num := n.asking.num
	n.mu.Unlock()
	n.tellMemberStatus(time.Now())
	for {
		n.mu.Lock()
		open, answered := n.open(num), n.asking.answered
		n.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-answered:
		}
	}
}

// open reports whether a member that can be reached has not answered question num. The caller holds mu.
func (n *Node) open(num uint64) bool {
	for _, m := range n.ledger.Members(time.Now()) {
		a, said := n.statuses.heard[m.Node]
		if m.Node == n.o.Name || !m.Reached || m.Contested || said && a.version < answers {
			continue
		}
		if !said || a.Answers[n.o.Name]-num >= questions {
			return true
		}
	}
	return false
}

// questions bounds how many a process asks: an answer to a younger question is one to an older one.
const questions = 1 << 40

// answers is the first message version whose members answer.
const answers = 2
