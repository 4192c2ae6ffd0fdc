package walstore

import (
	"github.com/cespare/xxhash/v2"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// BeginningSize holds the first record of a timeline, which is made at the promotion and says when that was.
const BeginningSize = 64

// Beginning returns a fingerprint of the first WAL of the current timeline, by which two that were begun at one
// position by two servers differ. 0 and known: there is none, because the store does not have that WAL or it is
// timeline 1. Not known: it has not come yet, or can't be read now. It may read from the disk.
func (s *Store) Beginning() (hash uint64, known bool) {
	h, pos := s.History(), s.Positions()
	begin := h.Begin()
	switch {
	case h.Timeline != pos.Timeline:
		return 0, false
	case begin == lsn.Invalid, begin < pos.Oldest:
		return 0, true
	case begin+BeginningSize > pos.Received:
		return 0, false
	}
	b := make([]byte, BeginningSize)
	if err := s.readStored(begin, b); err != nil {
		return 0, false
	}
	return max(1, xxhash.Sum64(b)), true
}
