package walreceiver

import (
	"context"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Store is the part of *walstore.Store that a stream fills and asks. AppendFrom is called by one goroutine at a time,
// the others by any.
type Store interface {
	Positions() walstore.Positions
	AppendFrom(ctx context.Context, at lsn.LSN, r io.Reader, n int) error
	// HoldBack keeps WAL of the current timeline beyond a known fork from everybody. It ends by Release, or when the
	// store is on a new timeline. Invalid is no fork.
	HoldBack(fork lsn.LSN)
	// EndHold stores the WAL that is held back in the place of owed WAL: the timeline of the stream ends there.
	EndHold() error
	// HeldOwed returns up to where WAL is held back so, Invalid where none is.
	HeldOwed() lsn.LSN
	Paused() bool
	// Promised and SetPromised are the durable bound of what was reported under a rule.
	Promised() walstore.Promise
	SetPromised(lsn.LSN) error
	// ReportWritten has Positions().Reportable go beyond what is flushed, until ReportFlushed (ruling R42).
	ReportWritten() error
	ReportFlushed()
	// Reporting is told how far is about to be reported, while ReportWritten is in force. It waits for no disk.
	Reporting(at lsn.LSN) error
	// EndsWithShutdownCheckpoint reports whether end is the received end and that of a shutdown
	// checkpoint whose checksum is right. It may read two pages.
	EndsWithShutdownCheckpoint(end lsn.LSN) bool
}

// Quorum decides how much may be reported. Reportable must be cheap and is called from the reporter on
// every wake-up; Changed has room for one token and gets it whenever Reportable may have changed. Whoever moves the
// store's written or flushed position has [Receiver.ReportNow] called: the reporter does not watch the store.
type Quorum interface {
	// Reportable returns the largest positions that may be reported. ruled: a rule is in use. Positions can be withheld
	// without one too: before rules were compared with another proxy, or by a fence.
	Reportable() (p lsn.Progress, ruled bool)
	Changed() <-chan struct{}
}

// Feedback gives the merged hot standby feedback of all standbys. Changed has room for one token and
// gets it whenever it may have changed.
type Feedback interface {
	// Merged returns the message to send, SentAt apart. Zero values mean that nobody needs anything. false: raise
	// nothing yet that the upstream holds (R20, R44).
	Merged() (copyboth.HotStandbyFeedback, bool)
	Changed() <-chan struct{}
}
