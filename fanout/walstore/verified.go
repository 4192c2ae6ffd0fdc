package walstore

import "time"

// verifiedFor is how long a segment that was compared with its digest counts as good when it is
// opened again: 16 standbys that catch up one after another cost one hash, not 16. Long enough for
// that, short enough that a disk that loses bits is noticed the same day it is read.
const verifiedFor = 10 * time.Minute

// verifiedLately reports whether k was found good not long ago, in this or an earlier open file.
func (x *segments) verifiedLately(k segKey, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.verified[k]
	return ok && now.Sub(at) < verifiedFor
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
