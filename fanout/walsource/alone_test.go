package walsource

import (
	"context"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// silent is an operator who says nothing.
type silentOperator struct{}

func (silentOperator) Accepted(*LackError) bool                { return false }
func (silentOperator) Waits(lsn.TimelineID, []*LackError)      {}
func (silentOperator) Refused() []*LackError                   { return nil }
func (silentOperator) Use(*LackError, []lsn.LSN, *Aside) error { return nil }
func (silentOperator) GivenUp(lsn.Point) bool                  { return false }

// noLogins are those of a proxy at which nobody logs in.
type noLogins struct{}

func (noLogins) WalreceiverWaiting(bool) {}
func (noLogins) WalreceiverRefused()     {}

// alone returns o of a proxy without a cluster, an archive, an operator and sessions, but for those that o has.
func alone(o Options) Options {
	if o.Accept == nil {
		o.Accept = silentOperator{}
	}
	if o.GiveUp == nil {
		o.GiveUp = func(*LackError, bool) error { return nil }
	}
	if o.Keep == nil {
		o.Keep = func() error { return nil }
	}
	if o.Others == nil {
		o.Others = func() ([]knownwal.Known, knownwal.Unheard) { return nil, knownwal.Unheard{} }
	}
	if o.Leaves == nil {
		o.Leaves = func(lsn.TimelineID) error { return nil }
	}
	if o.Unshown == nil {
		o.Unshown = func(knownwal.Restart) bool { return false }
	}
	if o.Ask == nil {
		o.Ask = func(context.Context) {}
	}
	if o.Final == nil {
		o.Final = func(string, lsn.TimelineID, lsn.LSN) bool { return false }
	}
	if o.Hears == nil {
		o.Hears = func(string) bool { return false }
	}
	if o.Restore == nil {
		o.Restore = func(context.Context, lsn.LSN) (int, error) { return 0, nil }
	}
	if o.Begins == nil {
		o.Begins = func(string, bool, lsn.TimelineID) (bool, error) { return false, nil }
	}
	if o.EndSessions == nil {
		o.EndSessions = func(context.Context) {}
	}
	if o.Leaving == nil {
		o.Leaving = func() Leaving { return LeaveWarn }
	}
	if o.EndRelayed == nil {
		o.EndRelayed = func(upstream.Endpoint) int { return 0 }
	}
	if o.Via == nil {
		o.Via = NewLadder()
	}
	if o.Logins == nil {
		o.Logins = noLogins{}
	}
	return o
}
