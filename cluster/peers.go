package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The items that a node publishes: one State, one Report per session under its incarnation, one member status.
const (
	itemState        byte = 1
	itemReport       byte = 2
	itemMemberStatus byte = 4 // see memberstatus.go; 3 is cluster/puller's
	itemHashes       byte = 5 // see publishhashes.go; from message version 2 on
	itemAsks         byte = 6
	itemLives        byte = 7 // see lives.go; from message version 2 on
	itemNewest            = itemLives
)

// Peers is the node as a link sees it: link.Sink for what other members say. A name that is no member's is ignored.
// Their items come in any order, and a Report means nothing before the State that lists its session: it waits for that.
type Peers struct{ n *Node }

// Peers makes the sink.
func (n *Node) Peers() Peers { return Peers{n} }

// Up notes that a peer is heard by its only connection.
func (p Peers) Up(peer string, version int) {
	p.locked(func(n *Node) {
		n.ledger.Contest(peer, false)
		n.lives.connected(peer)
		if version == link.Oldest { // it can't say what it knows
			n.answer(peer, vote.Life{})
		}
		n.ledger.Speaks(peer, version)
		delete(n.names.asked, peer)
		n.ledger.Seen(time.Now(), peer)
	})
}

// Heard notes a sign of life of a peer.
func (p Peers) Heard(peer string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	now := time.Now()
	p.n.lives.seen(now, peer)
	p.n.ledger.Seen(now, peer) // it needs nobody to look: silence is noticed by the clock
}

// Item takes over an item of a peer. An error ends the connection. Kinds that are not known are skipped from message
// version 2 on.
func (p Peers) Item(peer string, version int, id link.ID, payload []byte) error {
	switch {
	case id.Kind == itemMemberStatus:
		p.n.mu.Lock()
		defer p.n.mu.Unlock()
		err := p.n.statuses.hear(time.Now(), peer, version, payload)
		a := p.n.statuses.heard[peer]
		if err == nil {
			p.n.statuses.ran(peer, p.n.lives.run(peer))
			p.n.asking.hear(peer, a.Asks)
		}
		if err == nil && a.CompleteHash != 0 {
			p.n.ledger.Has(peer, lsn.Print{Timeline: a.Timeline, LSN: a.Complete, Sum: a.CompleteHash})
		}
		if err == nil {
			p.n.hearLosses(peer, p.n.statuses.heard[peer].GivenUp)
		}
		return err
	case id.Kind > itemNewest && version > link.Oldest:
		return nil // of a release to come
	}
	m, err := vote.Decode(payload, version)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case vote.Hashes, vote.Asks:
		if _, hashes := m.(vote.Hashes); hashes && id.Kind == itemHashes || !hashes && id.Kind == itemAsks {
			p.n.mu.Lock()
			defer p.n.mu.Unlock()
			p.n.hearHashes(peer, m)
			return nil
		}
	case vote.Lives:
		if id.Kind == itemLives {
			p.n.mu.Lock()
			defer p.n.mu.Unlock()
			p.n.hearLives(peer, m)
			return nil
		}
	case vote.State:
		if id.Kind == itemState && m.Node == peer {
			return p.state(m)
		}
	case vote.Report:
		if id.Kind == itemReport && m.Node == peer && m.Incarnation == id.Num {
			p.report(m)
			return nil
		}
	}
	return fmt.Errorf("%w: kind %d of node %q", vote.ErrEncoding, id.Kind, peer)
}

func (p Peers) state(s vote.State) (err error) {
	p.locked(func(n *Node) {
		now := time.Now()
		if why := n.lives.relapse(lifeOf(s)); why != nil {
			n.ledger.Relapse(s.Node, true)
			err = fmt.Errorf("%w: %w", ledger.ErrRefused, why)
			return
		}
		back, began := slices.Contains(n.ledger.Forgotten(), s.Node), n.beginning(s)
		if err = n.ledger.Merge(now, s); err != nil {
			return
		}
		if len(began) > 0 {
			n.mu.After(func() { n.o.Began(began) })
		}
		n.ledger.Relapse(s.Node, false)
		n.statuses.ran(s.Node, s.Run)
		if n.lives.note(now, lifeOf(s)) {
			n.publishLives(now)
			n.toSave.Wake()
		}
		if back {
			n.toSave.Wake()
		}
		n.retain(now) // its rule may count this node's store
		for _, x := range s.Sessions {
			if r, waits := n.early[x.Key]; waits {
				delete(n.early, x.Key)
				n.ledger.Report(now, r)
			}
		}
	})
	return err
}

// beginning returns the names of a rule under which a State has standbys' sessions that were not known. The caller
// holds mu.
func (n *Node) beginning(s vote.State) (names []string) {
	if n.o.Began == nil {
		return nil
	}
	for _, x := range s.Sessions {
		if x.Kind == vote.Standby && !n.ledger.Knows(x.Key) && n.ledger.Counted(x.Name) {
			names = append(names, x.Name)
		}
	}
	return names
}

func (p Peers) report(r vote.Report) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	n := p.n
	if !n.ledger.Knows(r.Key) {
		if len(n.early) < vote.MaxSessions {
			n.early[r.Key] = r
		}
		return
	}
	if n.ledger.Report(time.Now(), r) {
		n.moved()
	}
}

// Gone notes that a peer has withdrawn an item. That a session has ended, the next State says.
func (p Peers) Gone(peer string, id link.ID) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if id.Kind == itemReport {
		delete(p.n.early, vote.Key{Node: peer, Incarnation: id.Num})
	}
}

// Down notes that no connection to the peer is there any more. How long it is silent decides what it counts for.
func (p Peers) Down(peer string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	p.n.lives.connected(peer)
}

// Conflict withdraws the votes of a name that two hold.
func (p Peers) Conflict(peer string) {
	p.locked(func(n *Node) {
		n.ledger.Contest(peer, true)
		n.lives.contest(peer)
	})
}

func (p Peers) locked(f func(*Node)) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	f(p.n)
	p.n.touch()
}

// publish puts changes of the items that change slowly into the outbox. The caller holds mu.
func (n *Node) publish() {
	if n.o.Outbox == nil || n.unproven {
		return
	}
	s := n.ledger.State()
	if n.published == s.Seq+1 {
		return
	}
	n.published = s.Seq + 1
	n.put(link.ID{Kind: itemState}, func(b []byte) ([]byte, int, error) { return vote.AppendState(b, s) })
}

// publishReport puts an own session's newest report into the outbox. The caller holds mu.
func (n *Node) publishReport(r vote.Report) {
	if n.o.Outbox == nil || n.unproven {
		return
	}
	id := link.ID{Kind: itemReport, Num: r.Incarnation}
	n.put(id, func(b []byte) ([]byte, int, error) { return vote.AppendReport(b, r) })
}

// put encodes an item into the outbox. The caller holds mu.
func (n *Node) put(id link.ID, encode func([]byte) ([]byte, int, error)) {
	if err := n.o.Outbox.PutLonger(id, encode); err != nil {
		n.mu.After(func() { n.log.Error("cannot tell the other members", "err", err) })
	}
}
