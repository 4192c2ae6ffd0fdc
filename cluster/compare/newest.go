package compare

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// maxUnread bounds the segments whose hashes are read from disk to be listed. After a start none is in memory. The
// newest few are enough, because the other members remember more.
const maxUnread = 4

// Newest returns the last n of pairs, the oldest first, that end at or below complete. The bytes of a segment that
// ends within a record may yet be others (ruling R36). It changes pairs.
func Newest(pairs []Pair, complete lsn.LSN, n int) []Pair {
	pairs = slices.DeleteFunc(pairs, func(p Pair) bool { return p.At > complete })
	return pairs[max(0, len(pairs)-n):]
}

// Unread returns the ends of the segments whose hashes are to be read from disk, the newest first, so that n segments
// are listed. pairs are those at hand, the oldest first. The others lie right below them, between oldest and end, where
// the complete and flushed WAL ends. None is read once maxUnread are listed.
func Unread(pairs []Pair, size lsn.SegSize, oldest, end lsn.LSN, n int) (ends []lsn.LSN) {
	if size == 0 {
		return nil // the store is empty
	}
	at := size.Floor(max(end, 1))
	if len(pairs) > 0 {
		at = pairs[0].At - lsn.LSN(size)
	}
	for len(pairs)+len(ends) < min(n, maxUnread) && at > max(oldest, lsn.LSN(size)) {
		ends = append(ends, at)
		at -= lsn.LSN(size)
	}
	return ends
}
