package walsender

import (
	"math"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// NoBound bounds nothing.
const NoBound = lsn.LSN(math.MaxUint64)

// Bound says whether the standby is sent WAL only as far as [Options.Covered] says, from the next message on. One that
// has more waits until that is covered. Any goroutine may call it, also before Run.
func (s *Sender) Bound(bounded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bounded = bounded && s.o.Covered != nil; s.bounded == bounded {
		return
	}
	s.bounded = bounded
	s.wake()
}

// Nudge makes a sender that waits look around: what Covered says has moved. It waits for nothing. Any goroutine may
// call it.
func (s *Sender) Nudge() { s.wake() }
