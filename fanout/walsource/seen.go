package walsource

import (
	"github.com/replproxy/replproxy/grammar/lsn"
)

// saw notes on which timeline a server of the system is.
func (r *Supply) saw(srv server) {
	if id, ok := r.o.Store.Identity(); ok && id.System != srv.system {
		return
	}
	for was := r.seen.Load(); uint32(srv.timeline) > was && srv.timeline <= maxTimeline; was = r.seen.Load() {
		if r.seen.CompareAndSwap(was, uint32(srv.timeline)) {
			return
		}
	}
}

// Seen returns the highest timeline on which a server of the system was found since the start, followed or not; 0:
// none. Any goroutine may ask.
func (r *Supply) Seen() lsn.TimelineID { return lsn.TimelineID(r.seen.Load()) }
