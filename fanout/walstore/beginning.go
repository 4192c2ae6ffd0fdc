package walstore

import (
	"github.com/cespare/xxhash/v2"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// BeginningSize holds the first record of a timeline, which is made at the promotion and says when that was.
const BeginningSize = 64

// Beginning is a fingerprint of the first WAL of the current timeline, by which two that were begun at one position by
// two servers differ. 0: the store does not have that WAL, or it is timeline 1. It may read from the disk.
func (s *Store) Beginning() uint64 {
	h, pos := s.History(), s.Positions()
	begin := h.Begin()
	if begin == lsn.Invalid || h.Timeline != pos.Timeline || begin < pos.Oldest || begin+BeginningSize > pos.Received {
		return 0
	}
	b := make([]byte, BeginningSize)
	if err := s.readStored(begin, b); err != nil {
		return 0
	}
	return max(1, xxhash.Sum64(b))
}
