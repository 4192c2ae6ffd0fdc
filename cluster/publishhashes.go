package cluster

import (
	"bytes"
	"maps"
	"slices"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// publishHashes tells the others the hashes of sealed segments and what they have asked for; with ask it asks them. It
// may wait for the disk. The caller does not hold mu.
func (n *Node) publishHashes(ask bool) {
	if n.o.Outbox == nil {
		return
	}
	p := n.o.Store.Positions()
	n.mu.Lock()
	seeded := n.names.seeded == p.Timeline && len(n.names.sealed) > 0
	asked := maps.Clone(n.names.asked)
	n.mu.Unlock()
	var sealed []lsn.Print
	if !seeded {
		sealed = n.o.Store.Sealed(sealedTold)
	}
	for member, x := range asked {
		if x.Sum != 0 {
			continue
		}
		sum, err := n.o.Store.ReadHash(x.Timeline, x.LSN)
		if err != nil {
			continue // what is asked for is not here: the asker finds out by what else is said
		}
		x.Sum = sum
		asked[member] = x
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !seeded {
		n.names.sealed, n.names.seeded = sealed, p.Timeline
	}
	for member, x := range asked {
		if now := n.names.asked[member]; now.Timeline == x.Timeline && now.LSN == x.LSN {
			n.names.asked[member] = x
		}
	}
	n.tellHashes(p)
	if ask {
		asks := n.ask(p)
		n.tellOnce(itemAsks, func(b []byte) ([]byte, error) { return vote.AppendAsks(b, asks) })
	}
}

// tellHashes publishes the known hashes. The caller holds mu.
func (n *Node) tellHashes(p Positions) {
	if n.o.Outbox == nil {
		return
	}
	h := vote.Hashes{Oldest: p.Oldest, Prints: slices.Clone(n.names.sealed)}
	for _, member := range slices.Sorted(maps.Keys(n.names.asked)) {
		if x := n.names.asked[member]; x.Sum != 0 && len(h.Prints) < compare.MaxList {
			h.Prints = append(h.Prints, x)
		}
	}
	n.tellOnce(itemHashes, func(b []byte) ([]byte, error) { return vote.AppendHashes(b, h) })
}

// tellOnce publishes an item that message version 1 does not have, when it has changed. The caller holds mu.
func (n *Node) tellOnce(kind byte, encode func([]byte) ([]byte, error)) {
	b, err := encode(nil)
	if err != nil {
		n.mu.After(func() { n.log.Error("cannot tell the other members", "err", err) })
		return
	}
	if bytes.Equal(b, n.names.told[kind]) {
		return
	}
	n.names.told[kind] = b
	n.put(link.ID{Kind: kind}, func(to []byte) ([]byte, int, error) { return append(to, b...), -1, nil })
}

// ask returns questions to members that have more WAL than was compared and whose comparison stands still since the
// last look. The caller holds mu.
func (n *Node) ask(p Positions) (asks vote.Asks) {
	equal := map[string]lsn.LSN{}
	now := n.ledger.Asks(n.localWAL(p))
	for _, m := range n.ledger.Bytes() {
		equal[m.Node] = m.Equal
		was, looked := n.names.equal[m.Node]
		if at, more := now[m.Node]; more && looked && was == m.Equal {
			asks = append(asks, vote.Ask{Node: m.Node, Timeline: p.Timeline, At: at})
		}
	}
	n.names.equal = equal
	return asks
}

// hearHashes notes a peer's message about hashes: its list, or a question. The caller holds mu.
func (n *Node) hearHashes(peer string, m any) {
	switch m := m.(type) {
	case vote.Hashes:
		n.ledger.Hashes(peer, m.Oldest, m.Prints)
		n.touch()
	case vote.Asks:
		was := n.names.asked[peer]
		delete(n.names.asked, peer)
		for _, a := range m {
			if a.Node != n.o.Name {
				continue
			}
			if was.Timeline != a.Timeline || was.LSN != a.At {
				was = lsn.Print{Timeline: a.Timeline, LSN: a.At}
			}
			n.names.asked[peer] = was
			n.want()
		}
	}
}
