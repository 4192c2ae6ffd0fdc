package fanout

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// DefaultPersistInterval spaces the writes of moved slots. A crash gives back this much of their progress, and
	// retention lags behind by as much WAL.
	DefaultPersistInterval = 5 * time.Second
	// DefaultFeedbackSettle is the time after the start in which no feedback is offered. Standbys without a slot can
	// come back and say theirs first (R20): wal_receiver_status_interval (10 s) and wal_retrieve_retry_interval (5 s).
	DefaultFeedbackSettle = 15 * time.Second
)

// Options of New. Store and Slots are required.
type Options struct {
	Store Store
	Fill  *backfill.Filler // fetches WAL that Store lacks while somebody wants to read it; nil: nobody does
	Slots *slot.Table
	// Named reports whether a rule names a standby of that application_name. It must not block. nil: none does.
	Named func(applicationName string) bool
	// Voter begins the vote of a standby's session, by its application_name. Any goroutine calls it. nil: all are
	// async.
	Voter           func(applicationName string) Voter
	AutoCreateSlots bool          // START_REPLICATION SLOT x creates x
	DrainTimeout    time.Duration // 0: walsender.DefaultDrainTimeout
	FeedbackSettle  time.Duration // 0: DefaultFeedbackSettle
	PersistInterval time.Duration // 0: DefaultPersistInterval
	NextXID         NextXID       // nil: not known
	FeedbackMaxAge  uint64        // transactions that one standby may hold back; 0: any. Needs NextXID
	Primary         PrimarySlots  // nil: slots of the primary are not taken over
	PrimaryServer   PrimaryServer // nil: not known
	KeepPromoted    bool          // a promoted server's slot goes on holding WAL (R41)
	Members         Members       // nil: nobody shares the slots
	Limits          SlotLimits    // of the WAL that slots hold
	Losses          Losses        // nil: no WAL was ever given up
	// VotedFrom returns the position from which on WAL of a timeline may be nowhere but in stores that voted for it
	// (ruling R4). Such WAL is kept. Invalid: nothing is kept for that. It must not block. nil: nothing ever is.
	VotedFrom func(lsn.TimelineID) lsn.LSN
	// BacksUp asks the other members whether a base backup of that application_name runs through one of them. It may
	// block until they have answered, or ctx ends. nil: there are none.
	BacksUp func(ctx context.Context, applicationName string) bool
	Rule    Rule                      // nil: nobody is bounded by what it covers
	Covered func(standby string) bool // who is sent only what the rule covers, by application_name; nil: nobody
	Logger  *slog.Logger              // nil: discards
}

// Tuning holds the options that may change while a hub runs.
type Tuning struct {
	AutoCreateSlots bool
	FeedbackMaxAge  uint64
	Limits          SlotLimits
	KeepPromoted    bool
	Covered         func(standby string) bool
}

// Hub answers physical walsender sessions. Methods may be called from any goroutine. Make it with [New].
type Hub struct {
	o        Options
	tuning   atomic.Pointer[Tuning]
	log      *slog.Logger
	registry *registry
	stranded strandeds
	feedback *feedback
	lost     atomic.Int64 // slots lost since the start
	left     leftBehind
	endings  endings
	began    lsn.TimelineID // of the store when the hub was made
	covering *covering
	backups  backups
	yielding yielding                 // of Yield
	yieldsTo atomic.Pointer[[]string] // members; nil: voters are served here
	tallies  *tallies

	reserving atomic.Int32 // slots that are being made, see reserve
}

// New makes a hub and gives the store its retention. It starts nothing.
func New(o Options) *Hub {
	if o.FeedbackSettle <= 0 {
		o.FeedbackSettle = DefaultFeedbackSettle
	}
	if o.PersistInterval <= 0 {
		o.PersistInterval = DefaultPersistInterval
	}
	if o.Members == nil {
		o.Members = nobody{o.Slots}
	}
	if o.Losses == nil {
		o.Losses = noLosses{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		o: o, log: o.Logger, registry: newRegistry(), feedback: newFeedback(), covering: newCovering(),
		tallies: newTallies(),
	}
	h.tuning.Store(&Tuning{o.AutoCreateSlots, o.FeedbackMaxAge, o.Limits, o.KeepPromoted, o.Covered})
	o.Store.SetRetention(h.retainFrom)
	h.began = o.Store.Served().Timeline
	h.mergeFeedback() // what slots of absent standbys hold
	h.wantRule()
	return h
}

// Tune replaces these of [Options]; any goroutine may.
func (h *Hub) Tune(t Tuning) {
	h.tuning.Store(&t)
	h.bindAll()
	h.mergeFeedback()
}

// Run saves the slots and holds them to their limits until ctx ends, saves once more, and returns the
// cause. Sessions are not its
// business: end them first, or their last positions are saved by the next start's standbys.
func (h *Hub) Run(ctx context.Context) error {
	persist := time.NewTicker(h.o.PersistInterval)
	defer persist.Stop()
	settled := time.NewTimer(h.o.FeedbackSettle)
	defer settled.Stop()
	timeline := h.o.Store.Watch(walstore.MovedTimeline)
	defer timeline.Close()
	followed := h.followTimeline(0)
	resettled := time.NewTimer(h.o.FeedbackSettle) // after each switch
	defer resettled.Stop()
	if resettled.Stop(); h.began != 0 && followed != h.began {
		h.switched(followed)
		resettled.Reset(h.o.FeedbackSettle)
	}
	limits := time.NewTicker(limitsInterval)
	defer limits.Stop()
	merge := time.NewTimer(mergeDelay)
	defer merge.Stop()
	failing := false
	h.enforce(time.Now())
	for {
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), h.o.Slots.Persist())
		case <-h.feedback.later:
			merge.Reset(mergeDelay)
		case <-merge.C:
			h.mergeStale()
		case <-settled.C:
			h.feedback.settle()
		case <-timeline.C():
			before := followed
			if followed = h.followTimeline(before); before != 0 && followed != before {
				h.log.Info("the timeline has switched", "of_timeline", uint32(before), "timeline", uint32(followed))
				h.switched(followed)
				resettled.Reset(h.o.FeedbackSettle)
			}
		case <-resettled.C:
			h.resettled(followed)
		case now := <-limits.C:
			h.enforce(now)
			if h.tuning.Load().FeedbackMaxAge > 0 {
				h.mergeFeedback() // the bound moves with the primary
			}
		case <-persist.C:
			err := h.o.Slots.Persist()
			if err != nil && !failing {
				h.log.Error("cannot save replication slots, retrying", "err", err)
			} else if err == nil && failing {
				h.log.Info("replication slots are saved again")
			}
			failing = err != nil
		}
	}
}
