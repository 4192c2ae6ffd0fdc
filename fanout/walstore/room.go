package walstore

// writtenAhead is what a fast disk takes between two looks at the volume (a second at 1 GB/s would be more than a
// primary's WAL): it is left free beyond what is to stay free.
const writtenAhead = 256 << 20

// Room returns how many bytes may still be written to a volume of which minFree are to stay free. Less than 0: so much
// too many are there.
func Room(total, free, minFree int64) int64 { return free - minFree - min(writtenAhead, total/100) }
