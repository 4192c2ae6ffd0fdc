package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walstore"
)

const (
	// ballotInterval is how often it is asked whether the store can afford to vote: as slots are held to
	// their limits, which comes first.
	ballotInterval = time.Second
	// ballotSegments is how many segments, kept for nothing but votes, are in the way of space. A standby
	// that keeps up is less than that behind.
	ballotSegments = 2
)

// ballot withdraws the vote of the own store when the volume is out of space and WAL that may be nowhere
// but in stores that voted for it could be removed only: then it stops voting instead of deleting (R4).
type ballot struct {
	store    *walstore.Store
	hub      *fanout.Hub
	node     *cluster.Node
	settings *settings
	log      *slog.Logger
}

// space is what decides.
type space struct {
	full    bool  // received WAL can't be written
	known   bool  // free and minFree are
	free    int64 // bytes on the volume
	minFree int64 // wal.min_free; where half of it is gone, slots and readers have given up what they could
	voted   int64 // bytes that are kept for votes alone
	segment int64
}

// withdraws reports whether the vote is withdrawn from now on, if it was before or not.
func (s space) withdraws(was bool) bool {
	switch {
	case s.voted == 0 || s.voted < ballotSegments*s.segment:
		return false // none was given, or standbys have flushed what was voted for: there is, or will be, room
	case was:
		return s.full || s.known && s.free < s.minFree
	}
	return s.full || s.known && s.free < s.minFree/2
}

// Run looks until ctx ends.
func (b *ballot) Run(ctx context.Context) error {
	tick := time.NewTicker(ballotInterval)
	defer tick.Stop()
	withdrawn := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s := b.look()
		if s.withdraws(withdrawn) == withdrawn {
			continue
		}
		withdrawn = !withdrawn
		b.node.Withdraw(withdrawn)
		if withdrawn {
			b.log.Error("the volume is out of space and only WAL for which this store voted could be removed: its "+
				"vote is withdrawn until standbys have flushed that WAL or there is space",
				"voted_bytes", s.voted, "free_bytes", s.free, "voted_from_lsn", b.hub.VotedFrom())
		} else {
			b.log.Info("the store votes again", "voted_bytes", s.voted, "free_bytes", s.free)
		}
	}
}

func (b *ballot) look() space {
	c := b.settings.now()
	total, free, err := preflight.Volume(c.DataDir)
	id, _ := b.store.Identity()
	return space{
		full: b.store.Full(), known: err == nil, free: free, minFree: c.WAL.MinFree.Of(total),
		voted: b.hub.VotedBytes(b.store.Positions().Flushed), segment: int64(id.SegSize),
	}
}
