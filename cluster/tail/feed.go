package tail

// Feeding decides when a fenced store turns to another source of the WAL that it lacks, so that a candidate is fed to
// whichever proxy it is attached. The zero value has looked at nothing.
type Feeding struct {
	before string // the member at the last look
}

// Turn reports whether the stream is to be connected anew. streams says that WAL comes, from the member from, "" is the
// primary. feeder is the member that was asked last to feed this store; member has most of what the store lacks, "":
// nobody has more. Ask at each look, once.
func (f *Feeding) Turn(streams bool, from, feeder, member string) bool {
	before := f.before
	f.before = member
	if streams && from != "" && from == feeder {
		return member == "" // all has come: the stream is the primary's again
	}
	return !streams && member != "" && member != before
}
