package cluster

import (
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Positions holds the positions of this node's own store at one moment; 0: there is none.
type Positions struct {
	System                     lsn.SystemID
	Timeline                   lsn.TimelineID
	Received, Written, Flushed lsn.LSN
	// Oldest is the first position of the store, Complete the end of the last complete record that was received.
	Oldest, Complete lsn.LSN
	SegSize          lsn.SegSize
	HistoryHash      uint64 // see [HistoryHash] and vote.State; 0: not known at this moment
	FirstWAL         vote.Fingerprint
	// Owed is the end of what a start found damaged, or amid a flush. The stream has yet to bring it again. It was
	// received once, and may have been reported. 0: nothing.
	Owed lsn.LSN
	// Bound bounds the WAL that a process before may have reported, and the machine lost. It is a part of Owed (ruling
	// R42). 0: there is nothing of that kind.
	Bound lsn.LSN
}

// reported returns a bound of what was ever reported: nothing ever exceeded what the store has had.
func (p Positions) reported() lsn.LSN { return max(p.Received, p.Owed) }

// Store is this node's own WAL store. Methods may be called from any goroutine; all but Learn, ReadHash,
// LastComplete and Sealed never block for long.
type Store interface {
	Positions() Positions
	// Streams reports whether WAL is coming in, and from which member; "" is a server. A store that nothing reaches is
	// no candidate.
	Streams() (member string, ok bool)
	// Moved has room for one token and gets it when written, flushed or the timeline moved, unless [Node.StoreMoved] is
	// called for that.
	Moved() <-chan struct{}
	// Learn finds out Positions.FirstWAL when that is not known. It may wait for the disk.
	Learn()
	// HashAt returns the hash of the WAL of at's segment from its first byte up to at, of the current timeline or an
	// ancestor. ok is false when it is not in memory. It does not block.
	HashAt(t lsn.TimelineID, at lsn.LSN) (sum uint64, ok bool)
	// ReadHash is HashAt for everything that is stored. It may wait for the disk.
	ReadHash(t lsn.TimelineID, at lsn.LSN) (uint64, error)
	// LastComplete is the end of the last complete record at or below at, a position of t that is stored (ruling R36).
	// It may wait for the disk.
	LastComplete(t lsn.TimelineID, at lsn.LSN) (lsn.LSN, error)
	// Sealed are the hashes of the newest whole segments up to Positions.Complete, n at most, oldest first. It may wait
	// for the disk.
	Sealed(n int) []lsn.Print
}
