package tail

// Feeding decides when a fenced store turns to another source of the WAL that it lacks, so that a candidate is fed to
// whichever proxy it is attached. The zero value has looked at nothing.
type Feeding struct {
	before string // the member at the last look
}

// Turn reports whether the stream is to be connected anew. streams says that WAL comes, fed that it comes from a member
// that feeds this store; member has most of what the store lacks, "": nobody has more. Ask at each look, once.
func (f *Feeding) Turn(streams, fed bool, member string) bool {
	before := f.before
	f.before = member
	if fed {
		return member == "" // all has come: the stream is the primary's again
	}
	return !streams && member != "" && member != before
}
