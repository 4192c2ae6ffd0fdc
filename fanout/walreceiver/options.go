package walreceiver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Defaults are PostgreSQL's.
const (
	DefaultStatusInterval = 10 * time.Second // wal_receiver_status_interval
	DefaultTimeout        = 60 * time.Second // wal_receiver_timeout
	// assumedSenderTimeout is taken for the upstream's wal_sender_timeout when it does not tell.
	assumedSenderTimeout = 60 * time.Second
	// unchangedGap is the least time between two answers that say the same: a primary that shuts
	// down pings without pause (facts E7), and five answers a second keep its walsender alive.
	unchangedGap = 200 * time.Millisecond
	// greetAfter is how long a new stream may be without a message before a reply is requested. WAL
	// usually comes at once, but an idle upstream has nothing to send to one that resumes exactly at a
	// segment's start, and would say so after half its wal_sender_timeout: too late for readiness.
	greetAfter = 200 * time.Millisecond
)

// Options is what a Receiver needs. Upstream, Name and Store are required.
type Options struct {
	Upstream *upstream.Config
	Name     string // application_name at the upstream
	Slot     string // physical slot there, created when missing; "" streams without
	Store    Store
	// MayUse is told whether the primary has Slot already, before it is made or used; an error forbids both. nil: it
	// may be used.
	MayUse func(exists bool) error
	// EarlierSlot is the name that Slot had when the store was used before; "": the same, or it is not known.
	EarlierSlot string

	Keeper   SlotKeeper // holds the slot while a rule limits the reports; nil: the slot follows them
	RuleGate RuleGate   // a slot that the stream uses, needs Keeper; nil: none
	Quorum   Quorum     // limits what is reported; nil: the store's own positions, apply 0 (ruling R24)
	Feedback Feedback   // merged hot standby feedback; nil sends none
	Mirrors  Mirrors    // reports to a primary begin once they are there; nil: there are none
	// Accept is the operator's word on WAL that is given up; nil: there is none.
	Accept Acceptance
	// Others is the WAL that other proxies of a cluster have, or may have reported under a rule, and one that may soon
	// say so; nil: there are none. Any goroutine may ask.
	Others func() (known []Known, unheard string)
	// Ask returns when Others is as new as the call, for members that answer soon; nil: there are no others.
	Ask func(ctx context.Context)
	// Via and Primary: the stream may come from another proxy; both or none.
	Via     Via
	Primary Primary
	// Restore continues the store with archived WAL up to until at most, where the upstream has removed what
	// follows the store's end; it tells how many segments came, and why no more did. nil: there is no archive.
	// It is called by the goroutine of Run, between connections.
	Restore func(ctx context.Context, until lsn.LSN) (segments int, err error)
	// EndSessions ends all sessions that are sent stored WAL and waits until they have ended, or ctx has: stored WAL is
	// about to be replaced. nil: there are none.
	EndSessions func(ctx context.Context)
	// OldPrimary is told, again and again, that the server at e, which is streamed from, is an old primary; see
	// [Receiver.Higher]. nil: nobody. It must not block for long.
	OldPrimary func(e upstream.Endpoint)
	Gate       Gate // told when the receiver needs a walsender (ruling R13); nil: nobody to tell

	// Shared: another member of the cluster may take the stream over, so that silence of the server is noticed early;
	// see [Receiver.Silence].
	Shared bool

	StatusInterval time.Duration  // 0 is the default; negative sends no periodic status
	Timeout        time.Duration  // silence of the upstream that ends a connection; 0 is the default, negative never
	Logger         *slog.Logger   // nil discards
	Rand           func() float64 // in [0,1), for backoff jitter; nil is math/rand
}

func (o *Options) check() error {
	switch {
	case o.Upstream == nil:
		return errors.New("walreceiver: no upstream")
	case o.Store == nil:
		return errors.New("walreceiver: no store")
	case o.Name == "":
		return errors.New("walreceiver: no name")
	case (o.Via == nil) != (o.Primary == nil):
		return errors.New("walreceiver: via without primary")
	case o.Feedback != nil && mergedOf(o.Feedback) == nil:
		return errors.New("walreceiver: feedback without Merged")
	}
	return nil
}
