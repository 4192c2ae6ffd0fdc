package cluster

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/nudge"
)

const (
	// sealedTold bounds the sealed segments whose hashes are sent to the others. A member that is further behind is
	// compared when it has come nearer, or when it asks.
	sealedTold = compare.MaxList - vote.MaxMembers
	// maxRead bounds this store's hashes that were read from disk and are remembered.
	maxRead = 4 * compare.MaxList
	// readAtOnce bounds how many are read before it is looked again what is wanted.
	readAtOnce = 8
)

// names keeps hashes of WAL: this node's, and those that others ask for; guarded by Node.mu. Make it with newNames.
type names struct {
	own    lsn.Print            // at the end of the last complete record, as far as known
	sealed []lsn.Print          // of this store's newest whole segments, sealedTold at most, ascending
	seeded lsn.TimelineID       // the timeline on which sealed goes on; 0: it was not read yet
	on     lsn.TimelineID       // the store's, of which read is
	read   map[lsn.Print]uint64 // own hashes from the disk, by Print without Sum
	asked  map[string]lsn.Print // what the others ask of this node, answered once Sum is known
	equal  map[string]lsn.LSN   // how far each was equal at the last look
	told   map[byte][]byte      // items as they are in the outbox
	wanted nudge.Chan           // hashes have to be read from the disk
}

func newNames() names {
	return names{
		read: map[lsn.Print]uint64{}, asked: map[string]lsn.Print{}, told: map[byte][]byte{},
		wanted: nudge.New(),
	}
}

// localWAL returns this node's store as it is compared. The caller holds mu.
func (n *Node) localWAL(p Positions) compare.Local {
	n.names.of(p.Timeline)
	return compare.Local{
		Timeline: p.Timeline, Oldest: p.Oldest, Received: p.Received, Complete: p.Complete, SegSize: p.SegSize,
		HashAt: n.hashAt,
	}
}

// hashAt returns a hash of this store's WAL. false: it is not at hand and has to be read first. The caller holds mu.
func (n *Node) hashAt(t lsn.TimelineID, at lsn.LSN) (uint64, bool) {
	if sum, ok := n.o.Store.HashAt(t, at); ok {
		return sum, true
	}
	if sum, ok := n.names.read[lsn.Print{Timeline: t, LSN: at}]; ok {
		return sum, true
	}
	return n.names.ofSealed(lsn.Print{Timeline: t, LSN: at})
}

// of makes t the timeline whose hashes are remembered. Those that were read before may not be in its history.
func (n *names) of(t lsn.TimelineID) {
	if n.on != t {
		n.on = t
		clear(n.read)
	}
}

// ofSealed returns the hash at x of a segment that was told to the others, and which the store may have removed since.
// false: it was not told, or is too old.
func (n *names) ofSealed(x lsn.Print) (uint64, bool) {
	if n.seeded != n.on {
		return 0, false // what was told on another timeline may not be in the history of this one
	}
	byEnd := func(p lsn.Print, at lsn.LSN) int { return cmp.Compare(p.LSN, at) }
	i, _ := slices.BinarySearchFunc(n.sealed, x.LSN, byEnd)
	if i == len(n.sealed) || n.sealed[i].LSN != x.LSN || n.sealed[i].Timeline != x.Timeline {
		return 0, false
	}
	return n.sealed[i].Sum, true
}

// remembered keeps a hash that was read while the store was on timeline on. The caller holds mu.
func (n *Node) remembered(on lsn.TimelineID, x lsn.Print, sum uint64) {
	if n.o.Store.Positions().Timeline != on {
		return
	}
	n.names.of(on)
	if len(n.names.read) >= maxRead {
		clear(n.names.read)
	}
	n.names.read[lsn.Print{Timeline: x.Timeline, LSN: x.LSN}] = sum
}

// nameBytes returns the hash by which reports name the WAL at p, or none while it is not at hand. The caller holds mu.
func (n *Node) nameBytes(p Positions) lsn.Print {
	if len(n.o.Members) == 0 || p.Complete == lsn.Invalid {
		return lsn.Print{}
	}
	if own := n.names.own; own.Timeline == p.Timeline && own.LSN == p.Complete {
		return own
	}
	sum, ok := n.hashAt(p.Timeline, p.Complete)
	if !ok {
		n.want()
		return lsn.Print{}
	}
	n.names.own = lsn.Print{Timeline: p.Timeline, LSN: p.Complete, Sum: sum}
	n.seal(p)
	return n.names.own
}

// seal tells the others the hashes of segments that have become whole. A member compares them with its own, and goes on
// with the hashes that reports name in the segment after them. The end of one lies inside a record as a rule, whose
// bytes may be others until it is complete (ruling R36). The caller holds mu.
func (n *Node) seal(p Positions) {
	if n.names.seeded != p.Timeline || len(n.names.sealed) == 0 {
		if p.Complete >= p.Oldest+lsn.LSN(p.SegSize) {
			n.want()
		}
		return
	}
	told := len(n.names.sealed)
	for at := n.names.sealed[told-1].LSN + lsn.LSN(p.SegSize); at <= p.Complete; at += lsn.LSN(p.SegSize) {
		sum, ok := n.hashAt(p.Timeline, at)
		if !ok {
			n.names.seeded = 0 // it is read anew
			n.want()
			break
		}
		n.names.sealed = append(n.names.sealed, lsn.Print{Timeline: p.Timeline, LSN: at, Sum: sum})
	}
	if len(n.names.sealed) > told {
		n.names.sealed = slices.Clone(n.names.sealed[max(0, len(n.names.sealed)-sealedTold):])
		n.tellHashes(p)
	}
}

// compare compares members' WAL with this node's as it is at p. The caller holds mu.
func (n *Node) compare(p Positions) {
	if len(n.o.Members) == 0 {
		return
	}
	if n.ledger.Compare(n.localWAL(p)) {
		n.stale = true
	}
	if n.ledger.ToRead() != nil {
		n.want()
	}
}

// want lets Run read hashes from the disk.
func (n *Node) want() { n.names.wanted.Wake() }

// readHashes reads this store's hashes that are wanted and not at hand. It may wait for the disk. The caller does not
// hold mu.
func (n *Node) readHashes() {
	p := n.o.Store.Positions()
	n.mu.Lock()
	lacks := n.ledger.ToRead()
	_, named := n.hashAt(p.Timeline, p.Complete)
	n.mu.Unlock()
	failed, read := false, false
	if !named && p.Complete != lsn.Invalid {
		sum, err := n.o.Store.ReadHash(p.Timeline, p.Complete)
		if failed = err != nil; !failed {
			n.mu.Lock()
			n.remembered(p.Timeline, lsn.Print{Timeline: p.Timeline, LSN: p.Complete}, sum)
			n.mu.Unlock()
		}
	}
	for member, prints := range lacks {
		for _, x := range prints[:min(len(prints), readAtOnce)] {
			if x.LSN > p.Complete {
				continue // its bytes may yet be replaced
			}
			sum, err := n.o.Store.ReadHash(x.Timeline, x.LSN)
			n.mu.Lock()
			if err == nil {
				n.remembered(p.Timeline, x, sum)
			}
			n.ledger.Read(member, x, err == nil)
			n.mu.Unlock()
			read = true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !failed { // else it is wanted again at the next look, not at once
		n.stamp(n.o.Store.Positions())
	}
	if read {
		n.touch()
	}
}

// stamp gives own reports whose bytes were not at hand when they were made, or not complete, a name. The caller holds
// mu.
func (n *Node) stamp(p Positions) {
	if x := n.nameBytes(p); x.LSN != lsn.Invalid {
		for _, r := range n.ledger.Stamp(x) {
			n.publishReport(r)
		}
	}
}

// OtherWAL reports whether a member's WAL was found to be other WAL than ours. It is false before they were compared,
// and of any other name.
func (n *Node) OtherWAL(member string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ledger.Differs(member)
}

// SameWAL reports whether a member's WAL may be taken into our store: where it can be compared it was found to be ours.
// It is true of a member that need not show its WAL by hashes.
func (n *Node) SameWAL(member string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.ledger.Bytes() {
		if m.Node == member && m.Hashes {
			return m.Differs == lsn.Invalid && m.Equal != lsn.Invalid
		}
	}
	return true
}
