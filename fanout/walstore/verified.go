package walstore

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// A segment that was compared with its digest counts as good for verifiedFor, and in proportion longer when it is
// larger than verifiedSize. Then it is compared again, also while it is being read. Damage on disk is therefore served
// for no longer than this, even to a slow reader. A segment costs at most 1.6 MB of hashing per second, however many
// standbys read it.
const (
	verifiedFor  = 10 * time.Second
	verifiedSize = 16 << 20
)

func verifiedWhile(size lsn.SegSize) time.Duration {
	return max(verifiedFor, verifiedFor/verifiedSize*time.Duration(size))
}

// verifiedLately reports whether k was found good not long ago, in this or an earlier open file.
func (x *segments) verifiedLately(k segKey, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.verified[k]
	return ok && now.Sub(at) < verifiedWhile(x.size)
}

// noteVerified remembers that o was found good. A segment that was removed or replaced meanwhile
// gets no credit for it: the next file of that name has other bytes.
func (x *segments) noteVerified(o *openFile, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.have[o.key] && x.open[o.key] == o {
		x.verified[o.key] = now
	}
}
