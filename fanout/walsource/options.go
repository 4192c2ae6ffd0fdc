package walsource

import (
	"context"
	"errors"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// Options configure a Supply. All are required but those that say otherwise. Of the walreceiver's, Probe is set by New.
type Options struct {
	walreceiver.Options
	Upstream *upstream.Config
	Name     string // application_name at the upstream
	Store    Store  // the walreceiver's too

	// Accept is the operator's word on WAL that is given up.
	Accept Acceptance
	// GiveUp makes durable who may have WAL that the primary has lost, before the word of Accept is used. aside: this
	// proxy's store has some of it, until the next start.
	GiveUp func(e *LackError, aside bool) error
	// GaveUp returns the members that have given up WAL in e, where this proxy has not. nil: there are none. Any
	// goroutine may ask.
	GaveUp func(e *LackError) []string
	// Keep takes that back, durably, where the store has that WAL until the next start: it follows a server that has
	// it. Without such WAL it does nothing. It may wait for the disk.
	Keep func() error
	// Others returns the WAL that other proxies of a cluster have, or may have reported under a rule, and those that
	// may yet say so. Any goroutine may ask.
	Others func() (known []knownwal.Known, unheard knownwal.Unheard)
	// Unshown reports whether nothing can have been reported that a primary has lost at a restart: standbys that have
	// come since this proxy's start prove it. Any goroutine may ask.
	Unshown func(knownwal.Restart) bool
	// Leaves is told, before the store leaves timeline t (0: it is empty). It makes durable who was not heard, whose
	// WAL is Late from then on. It may wait for the disk.
	Leaves func(t lsn.TimelineID) error
	// Ask returns when Others is as new as the call, for members that answer soon.
	Ask func(ctx context.Context)
	// Via opens the stream from another proxy where there is one to be had. Primary watches the primary meanwhile.
	Via     Via
	Primary Primary
	// Final reports whether a member is fenced on timeline t, and has no WAL of it beyond at.
	Final func(member string, t lsn.TimelineID, at lsn.LSN) bool
	// Hears reports whether a member that streams from the primary says that it hears it.
	Hears func(member string) bool
	// Restore continues the store with archived WAL up to until at most, where the upstream has removed the WAL that
	// follows the store's end. It returns the number of segments that came, and why no more did: 0 and nil without an
	// archive. The goroutine of Run calls it, between connections.
	Restore func(ctx context.Context, until lsn.LSN) (segments int, err error)
	// Begins is told that the next WAL of the store comes from a member, or with "" from a server, before it does.
	// empty: the store has nothing yet. left is the timeline that it has just left, 0: none. After an error no WAL is
	// taken. kept: what the next start was to set aside is in that WAL's history, and stays. The goroutine of Run
	// calls it.
	Begins func(member string, empty bool, left lsn.TimelineID) (kept bool, err error)
	// EndSessions ends all sessions that are sent stored WAL, because its last record is replaced, and waits until they
	// have ended, or ctx has.
	EndSessions func(ctx context.Context)
	// Leaving returns the treatment of the server that is streamed from once it is an old primary, see [Supply.Higher].
	// EndRelayed ends the sessions that are relayed to the server at e, and returns how many there were. Neither may
	// block for long.
	Leaving    func() Leaving
	EndRelayed func(e upstream.Endpoint) int
	Logins     Logins // told when a walsender is needed (ruling R13)

	// Shared: another member of the cluster may take the stream over, so that silence of the server is noticed early;
	// see [Supply.Silence].
	Shared bool

	Rand func() float64 // in [0,1), for backoff jitter; nil is math/rand
}

func (o *Options) check() error {
	switch {
	case o.Upstream == nil:
		return errors.New("walsource: no upstream")
	case o.Store == nil:
		return errors.New("walsource: no store")
	case o.Name == "":
		return errors.New("walsource: no name")
	}
	return nil
}
