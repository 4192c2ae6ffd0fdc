package walstore

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// aheadAsked bounds the segments that wait to be verified ahead of their readers. What finds no room is verified
	// when its reader comes.
	aheadAsked = 4
	// aheadMost is the largest segment that is verified ahead: the end of Run waits for that.
	aheadMost = bigSegment
)

// askAhead has the segment behind the reader's own compared with its digest while the reader sends the second half of
// its own. One that takes long is not worth it: the comparison would count no more when it comes there.
// The chunk that is sent begins at at.
func (r *Reader) askAhead(at lsn.LSN, h lsn.History, flushed lsn.LSN) {
	x := r.s.segs
	if r.asked || x.size >= aheadMost || x.size.Offset(at) < int64(x.size)/2 {
		return
	}
	r.asked = true
	if time.Since(r.opened) > verifiedWhile(x.size)/2 {
		return
	}
	x.mu.Lock()
	k, ok := x.find(h, r.tli, r.file.key.segno+1)
	x.mu.Unlock()
	if !ok || !r.s.isSealed(h, k, flushed) {
		return
	}
	select {
	case r.s.aheadC <- k:
	default:
	}
}

// verifyAhead verifies the segments that readers come to next, until stop. Damage is reported by the reader that comes
// to it.
func (s *Store) verifyAhead(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-s.failed:
			return
		case k := <-s.aheadC:
			s.verifySegment(k)
		}
	}
}

func (s *Store) verifySegment(k segKey) {
	x := s.segs
	x.mu.Lock()
	if !x.have[k] {
		x.mu.Unlock()
		return
	}
	o, err := x.acquire(k)
	x.mu.Unlock()
	if err == nil {
		_ = s.verify(o)
		x.release(o)
	}
}
