package fanout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/nudge"
)

// coveredLook spaces the looks at what is covered that nobody asked for: after an error of the disk.
const coveredLook = time.Second

// horizon bounds the WAL of a timeline that held standbys are sent: the end of a record.
type horizon struct {
	timeline lsn.TimelineID
	at       lsn.LSN // walsender.NoBound: as far as others
	known    bool    // the rules have covered something on that timeline, or there is none
}

// covering keeps standbys at what the rule covers, so that a failover never leaves them ahead. Nothing of it runs while
// nobody is to be bounded. Make it with newCovering.
type covering struct {
	now   atomic.Pointer[horizon]
	again nudge.Chan // whoever is bounded, or is to be, has changed

	mu         sync.Mutex // held over Bound, so that the newest word stands
	generation uint64     // of Votes as it was used last
	bounded    map[*session]struct{}
}

func newCovering() *covering {
	return &covering{again: nudge.New(), bounded: map[*session]struct{}{}}
}

// covers reports whether anybody may have to be bounded.
func (h *Hub) covers() bool { return h.o.Rule != nil && h.tuning.Load().Covered != nil }

// bind decides up to where a session is sent WAL (send_when: covered), before it is sent anything. The session may be
// attached already or not.
func (h *Hub) bind(s *session) {
	if !h.covers() {
		return
	}
	h.covering.mu.Lock()
	defer h.covering.mu.Unlock()
	h.bound(s, h.o.Rule.Coverage())
}

// bindAll decides up to where each attached session is sent WAL, because the rule or the configuration is another one.
// Any goroutine may call it that holds no lock of the hub.
func (h *Hub) bindAll() {
	if h.o.Rule == nil {
		return
	}
	h.covering.mu.Lock()
	defer h.covering.mu.Unlock()
	if h.covers() || len(h.covering.bounded) > 0 {
		h.boundAll(h.o.Rule.Coverage())
	}
	h.wantRule()
}

// wantRule asks for the rule's word, or for none.
func (h *Hub) wantRule() {
	if h.o.Rule == nil {
		return
	}
	h.o.Rule.WantCoverage(h.covers())
	h.covering.again.Wake()
}

// boundAll bounds all who are attached. The caller holds covering.mu.
func (h *Hub) boundAll(c syncrep.Coverage) {
	h.covering.generation = c.Generation
	for _, s := range h.registry.sessions() {
		h.bound(s, c)
	}
}

// bound bounds a session or sets it free. The caller holds covering.mu.
func (h *Hub) bound(s *session, c syncrep.Coverage) {
	name, chosen := s.who.ApplicationName, h.tuning.Load().Covered
	bounded := chosen != nil && !s.whole && !c.Votes(name) && (chosen(name) || name == FetchName)
	if bounded {
		h.covering.bounded[s] = struct{}{}
	} else {
		delete(h.covering.bounded, s)
	}
	s.sender.Bound(bounded)
}

func (h *Hub) unbind(s *session) {
	h.covering.mu.Lock()
	defer h.covering.mu.Unlock()
	delete(h.covering.bounded, s)
}

// coveredOn returns the bound of the WAL of the current timeline t that held standbys are sent; see
// [walsender.Options].
func (h *Hub) coveredOn(t lsn.TimelineID) lsn.LSN {
	if c := h.covering.now.Load(); c != nil && c.timeline == t {
		return c.at
	}
	return lsn.Invalid // until the rule was asked
}

// RunCovered follows the covered position until ctx ends, and returns the cause. While it does not run, held standbys
// get no more WAL than was covered before.
func (h *Hub) RunCovered(ctx context.Context) error {
	if h.o.Rule == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	look := time.NewTicker(coveredLook)
	defer look.Stop()
	var store *walstore.Watcher // nil while nobody may have to be bounded
	more, failed := false, false
	for {
		var received <-chan struct{}
		var tick <-chan time.Time
		if h.covers() && store == nil {
			store = h.o.Store.Watch(walstore.MovedReceived | walstore.MovedTimeline)
			defer store.Close()
		}
		if more {
			received = store.C()
		}
		if failed {
			tick = look.C
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-h.o.Rule.CoverageMoved():
		case <-h.covering.again:
		case <-received:
		case <-tick:
		}
		more, failed = h.follow()
	}
}

// follow moves the horizon and wakes who waits for that. more: it lies below what is covered, as more is to be
// received.
func (h *Hub) follow() (more, failed bool) {
	if !h.covers() {
		h.covering.now.Store(nil)
		return false, false
	}
	c := h.o.Rule.Coverage()
	next, more, err := h.horizon(c)
	was := h.covering.now.Load()
	if failed = err != nil; failed && was != nil && was.timeline == next.timeline {
		next.at = was.at
	}
	h.covering.now.Store(&next)
	h.covering.mu.Lock()
	defer h.covering.mu.Unlock()
	if c.Generation != h.covering.generation {
		h.boundAll(c)
	}
	if was == nil || *was != next {
		for s := range h.covering.bounded {
			s.sender.Nudge()
		}
	}
	return more, failed
}

// horizon returns the bound of held standbys' WAL by c: the end of the last complete record that is covered. No commit
// rests on the beginning of a record, and another primary may go on there with other bytes (ruling R36). The bound is
// never below the timeline's own beginning, because a timeline that is followed has all WAL that was covered before.
// more reports that the rule covers more than is received. It may wait for the disk.
func (h *Hub) horizon(c syncrep.Coverage) (to horizon, more bool, err error) {
	to = horizon{timeline: c.Timeline, at: c.At, known: c.At != lsn.Invalid}
	if c.At == walsender.NoBound {
		return to, false, nil
	}
	received, err := h.o.Store.LastComplete(c.Timeline, walsender.NoBound)
	if more = c.At > received; more {
		to.at = received
	} else if err == nil {
		to.at, err = h.o.Store.LastComplete(c.Timeline, c.At)
	}
	if past := h.o.Store.History(); past.Timeline == c.Timeline {
		to.at = max(to.at, past.Begin())
	}
	return to, more, err
}

// FetchName is the application_name that wal-fetch, a restore_command, gives itself. It does not tell which standby
// runs it: what it gets is bounded by the rule for every standby.
const FetchName = "replproxy wal-fetch"

// Fetchable returns the identity for wal-fetch, as Identify does. Of the current timeline it returns the end of the WAL
// that the rule covers: no standby shall get by its restore_command WAL that its stream would not give it. A voter gets
// the rest by its stream. The error is 57P03 while the covered position is not known: to say that the rest is not there
// would end a recovery.
func (h *Hub) Fetchable() (Identity, error) {
	id, err := h.Identify()
	if err != nil || !h.covers() {
		return id, err
	}
	c := h.covering.now.Load()
	if c == nil || c.timeline != id.Timeline || !c.known {
		return Identity{}, pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
			WithDetail("replproxy does not know yet what its rule covers on timeline %s.", id.Timeline)
	}
	id.XLogPos = min(id.XLogPos, c.at)
	return id, nil
}
