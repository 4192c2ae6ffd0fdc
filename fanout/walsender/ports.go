package walsender

import (
	"net"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
	"github.com/replproxy/replproxy/internal/wire"
)

// Store has the WAL; *[walstore.Store] is one. All methods may be called from any goroutine.
type Store interface {
	// Served returns the current timeline and how far it may be read, of one moment. It must be cheap.
	Served() walstore.Served
	// History returns the ancestry of the current timeline. It may be newer than an earlier Served.
	History() lsn.History
	// Watch wakes when something of the mask moved since the last wake-up; none is lost.
	Watch(walstore.Mask) *walstore.Watcher
}

// Reader is one sender's cursor in the store. It belongs to one goroutine.
type Reader interface {
	// Next returns the WAL at the cursor, at most maxBytes and not beyond limit, and moves the cursor; see
	// [walstore.Reader.Next]. An error of the removed or damaged kind is a *pgerror.Error with PostgreSQL's text. A
	// *PendingError asks for patience.
	Next(limit lsn.LSN, maxBytes int) (walstore.Chunk, error)
	// Close lets go of what the cursor holds in the store.
	Close()
}

// PendingError says that a reader waits for WAL that is being fetched: call Next again once Done is closed. The sender
// keeps the standby attached meanwhile.
type PendingError struct{ Done <-chan struct{} }

func (e *PendingError) Error() string { return "WAL is being fetched" }

// Slot is the replication slot that the standby uses; see package slot. Methods must not block.
type Slot interface {
	Confirm(flush lsn.LSN)
	SetXmin(xmin, catalog copyboth.FullXID)
}

// Voter takes the standby's reports as votes. Methods must not block.
type Voter interface {
	// Report takes a status update, in order, from the replies loop. said is what the standby said at a time, not
	// clamped: one that has more than it was sent has it from elsewhere. 0 is "no position", not "nothing". sent bounds
	// what the session can vouch for, WAL of t that this proxy has: a vote never exceeds it (R6, R28). The message that
	// is being written is in it, as its end may be reported before the write has returned. streaming: the standby has
	// caught up once.
	Report(at time.Time, t lsn.TimelineID, sent lsn.LSN, said lsn.Progress, streaming bool)
}

// Feedback is the standby's oldest needed transactions; 0 imposes nothing.
type Feedback struct {
	Xmin        copyboth.FullXID
	CatalogXmin copyboth.FullXID
}

// Conn is a standby's connection inside the walsender session. Frames reads from Net and belongs to
// the session; a sender reads it until the end of COPY and leaves what follows in it.
type Conn struct {
	Arrival stamp.Arrival
	Net     net.Conn
	Frames  *wire.Reader
}

// Session describes the standby's session.
type Session struct {
	PID              int32
	User             string
	ApplicationName  string
	ClientAddr       string
	WalSenderTimeout time.Duration // 0: disabled
	Member           bool          // another member of the cluster, by its key: no standby, and nobody's vote
	OwnTimeout       bool          // the standby asked for it: a change at the primary does not reach this session
	Started          time.Time
}
