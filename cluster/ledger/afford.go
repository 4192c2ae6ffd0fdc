package ledger

// votedSegments is the number of segments, kept for nothing but votes, from which on they are in the way of space. A
// standby that keeps up is less than that behind.
const votedSegments = 2

// Space has the figures by which a store can afford to vote: WAL that may be nowhere but in stores that voted for it
// is not deleted (rulings R4, R40).
type Space struct {
	Full    bool  // received WAL can't be written
	Known   bool  // Free and MinFree are
	Free    int64 // bytes on the volume
	MinFree int64 // wal.min_free; where half of it is gone, slots and readers have given up what they could
	Voted   int64 // bytes that are kept for votes alone
	Segment int64
}

// Withdraws reports whether the store votes no more from now on. was says whether it did not until now: a vote comes
// back when there is more space than that at which it was withdrawn.
func (s Space) Withdraws(was bool) bool {
	switch {
	case s.few():
		return false
	case was:
		return s.Full || s.Known && s.Free < s.MinFree
	}
	return s.Full || s.Known && s.Free < s.MinFree/2
}

// Crowded reports whether votes alone keep as much WAL as keep bytes, which are kept anyway, or half of the room that
// is left. Somebody should know of it before the volume is full.
func (s Space) Crowded(keep int64) bool {
	return !s.few() && (s.Voted >= keep || s.Known && s.Voted >= s.Free-s.MinFree)
}

// few reports whether no vote was given, or standbys have flushed what was voted for: there is, or will be, room.
func (s Space) few() bool { return s.Voted == 0 || s.Voted < votedSegments*s.Segment }
