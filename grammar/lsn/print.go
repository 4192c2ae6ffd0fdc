package lsn

// Print names WAL by its bytes: Sum is the hash of a segment from its first byte up to LSN. A timeline and a position
// alone do not tell, since a primary that lost WAL may write other WAL in its place. By a print a store that has lost
// WAL recognises whoever has it, and members compare theirs. The zero value: nothing is known.
type Print struct {
	Timeline TimelineID
	LSN      LSN // Invalid: there is none
	Sum      uint64
}
