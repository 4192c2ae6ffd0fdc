package walsender

import (
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// Store is where the WAL comes from. All methods may be called from any goroutine.
type Store interface {
	// Positions is the current timeline and the end of what is received on it, of one moment. Cheap.
	Positions() Positions
	// History is the ancestry of the current timeline. It may be newer than an earlier Positions.
	History() lsn.History
	// NewReader opens WAL of tli at start. An error of the removed or damaged kind is a
	// *pgerror.Error with PostgreSQL's text.
	NewReader(tli lsn.TimelineID, start lsn.LSN) (Reader, error)
	// Watch wakes when received or the timeline moved since the last wake-up; none is lost.
	Watch() Watcher
}

// Positions is what a sender needs to know of the store.
type Positions struct {
	Timeline lsn.TimelineID
	Received lsn.LSN
	// Held: Received is a fork that is known, beyond which nothing is sent any more, not the received end (ruling R3).
	Held bool
}

// Watcher is a wake-up with one slot.
type Watcher interface {
	C() <-chan struct{}
	Close()
}

// Reader is one sender's cursor in the store; it belongs to one goroutine.
type Reader interface {
	// Next is the WAL at the cursor, at most max bytes and not beyond limit, and moves the cursor. What
	// max cuts ends at a page boundary. A chunk without bytes means that the cursor is at limit. A
	// *PendingError asks for patience.
	Next(limit lsn.LSN, max int) (Chunk, error)
	// Close lets go of what the cursor holds in the store.
	Close() error
}

// PendingError is what a reader says about WAL that is being fetched: call Next again once Done is
// closed. The sender keeps the standby attached meanwhile.
type PendingError struct{ Done <-chan struct{} }

func (e *PendingError) Error() string { return "WAL is being fetched" }

// Chunk is a piece of WAL [Start, End), in memory or in one file. Memory is immutable and stays valid;
// a file stays open until the next call of the reader.
type Chunk struct {
	Start, End lsn.LSN
	Mem        [2][]byte
	File       io.ReaderAt // nil: Mem; a *os.File can be sent without copying
	Offset     int64       // of Start in File
}

// Len is the size in bytes.
func (c Chunk) Len() int { return int(c.End - c.Start) }

// Slot is the replication slot that the standby uses; see package slot. Methods must not block.
type Slot interface {
	Confirm(flush lsn.LSN)
	SetXmin(xmin, catalog copyboth.FullXID)
}

// Sink hears what the standby says, in order, from the replies loop. Methods must not block.
type Sink interface {
	Ack(Ack)
	Feedback(Feedback)
}

// Ack is a status update, clamped to what this proxy has (R28). Sent bounds what the session can vouch
// for: a vote never exceeds it (R6); the message that is being written is in it, as its end may be
// reported before the write has returned. SaidWrite is not clamped.
type Ack struct {
	Timeline lsn.TimelineID
	Sent     lsn.LSN
	lsn.Progress
	SaidWrite lsn.LSN
	State     State
	At        time.Time
}

// Feedback is the standby's oldest needed transactions; 0 imposes nothing.
type Feedback struct {
	Xmin        copyboth.FullXID
	CatalogXmin copyboth.FullXID
}

// Conn is a standby's connection inside the walsender session. Frames reads from Net and belongs to
// the session; a sender reads it until the end of COPY and leaves what follows in it.
type Conn struct {
	Net    net.Conn
	Frames *wire.Reader
}

// Session is who the standby is.
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
