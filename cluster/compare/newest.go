package compare

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// maxUnread bounds the segments whose hashes are read from disk to be listed. After a start none is in memory. The
// newest few are enough, because the other members remember more.
const maxUnread = 4

// Newest returns the last n of prints, the oldest first, that end at or below complete. The bytes of a segment that
// ends within a record may yet be others (ruling R36). It changes prints.
func Newest(prints []lsn.Print, complete lsn.LSN, n int) []lsn.Print {
	prints = slices.DeleteFunc(prints, func(p lsn.Print) bool { return p.LSN > complete })
	return prints[max(0, len(prints)-n):]
}

// Unread returns the ends of the segments whose hashes are to be read from disk, the newest first, so that n segments
// are listed. prints are those at hand, the oldest first. The others lie right below them, between oldest and end,
// where the complete and flushed WAL ends. None is read once maxUnread are listed.
func Unread(prints []lsn.Print, size lsn.SegSize, oldest, end lsn.LSN, n int) (ends []lsn.LSN) {
	if size == 0 {
		return nil // the store is empty
	}
	at := size.Floor(max(end, 1))
	if len(prints) > 0 {
		at = prints[0].LSN - lsn.LSN(size)
	}
	for len(prints)+len(ends) < min(n, maxUnread) && at > max(oldest, lsn.LSN(size)) {
		ends = append(ends, at)
		at -= lsn.LSN(size)
	}
	return ends
}
