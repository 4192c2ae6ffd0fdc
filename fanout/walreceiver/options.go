package walreceiver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Defaults are PostgreSQL's.
const (
	DefaultStatusInterval = 10 * time.Second // wal_receiver_status_interval
	DefaultTimeout        = 60 * time.Second // wal_receiver_timeout
	// assumedSenderTimeout is taken for the upstream's wal_sender_timeout when it does not tell.
	assumedSenderTimeout = 60 * time.Second
	// greetAfter is the time without a message after which a new stream requests a reply. WAL usually comes at once. An
	// idle upstream has none for a stream that resumes exactly at a segment's start. It would say so after half its
	// wal_sender_timeout, which is too late for readiness.
	greetAfter = 200 * time.Millisecond
)

// Options configure a Receiver. Store and Quorum are required.
type Options struct {
	Store Store
	Slot  string // physical slot on the upstream, created when missing; "" streams without
	// MayUse is told whether the primary has Slot already, before it is made or used; an error forbids both. nil: it
	// may be used.
	MayUse func(exists bool) error
	// EarlierSlot is the name that Slot had when the store was used before; "": the same, or it is not known.
	EarlierSlot string

	// HeldSlot holds Slot by SQL while a rule limits the reports, so that acknowledgment and retention are apart
	// (ruling R8). nil: the slot follows the reports.
	HeldSlot *realslot.ProxySlot
	RuleGate *realslot.RuleGate // a slot that the stream uses, needs HeldSlot; nil: none
	Quorum   Quorum             // limits what is reported
	// Written reports whether written WAL is reported under a rule before it is flushed (wal.report, ruling R42). Any
	// goroutine may ask. nil: never.
	Written  func() bool
	Feedback Feedback // merged hot standby feedback; nil sends none
	Mirrors  Mirrors  // reports to a primary begin once they are there; nil: there are none

	// Probe logs in at the server at e beside the stream, and out again: a server that stops refuses that. It is set
	// by whoever connects.
	Probe func(ctx context.Context, e upstream.Endpoint) error

	StatusInterval time.Duration // 0 is the default; negative sends no periodic status
	Timeout        time.Duration // silence of the upstream that ends a connection; 0 is the default, negative never
	Logger         *slog.Logger  // nil discards
}

func (o *Options) check() error {
	switch {
	case o.Store == nil:
		return errors.New("walreceiver: no store")
	case o.Quorum == nil:
		return errors.New("walreceiver: no quorum")
	}
	return nil
}
