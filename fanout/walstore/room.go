package walstore

// writtenAhead stays free beyond minFree, in bytes, for WAL that is written between two looks at the volume. Of a small
// volume it is a hundredth at most.
const writtenAhead = 256 << 20

// Room returns how many bytes may still be written to a volume of which minFree are to stay free. Less than 0: so much
// too many are there.
func Room(total, free, minFree int64) int64 { return free - minFree - min(writtenAhead, total/100) }
