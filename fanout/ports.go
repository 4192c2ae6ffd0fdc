package fanout

import (
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Store is what the hub needs of the WAL store; NewStore makes one of a *walstore.Store. Methods may
// be called from any goroutine.
type Store interface {
	walsender.Store
	// Identity is the adopted system; false when nothing was adopted yet.
	Identity() (lsn.SystemID, lsn.SegSize, bool)
	// Oldest is the first position that the store can still serve. It comes after any removal that has
	// asked what is needed before the call: what SetRetention's function answers from then on is there.
	Oldest() lsn.LSN
	// HistoryFile is the content of a timeline's history file; fs.ErrNotExist inside the error when
	// the store has none.
	HistoryFile(lsn.TimelineID) ([]byte, error)
	// WatchTimeline wakes when the current timeline changed since the last wake-up, and at first.
	WatchTimeline() walsender.Watcher
	// SetRetention gives the function that tells from where WAL is needed; Invalid: nowhere.
	SetRetention(func() lsn.LSN)
}

// AckSink is told what the standbys report, by the replies loops of their sessions. The calls for one
// PID do not overlap and end with Gone. Methods must not block.
type AckSink interface {
	Ack(Ack)
	Gone(pid int32)
}

// Ack is one status update. Write, Flush and Apply are clamped to what this proxy has received on
// Timeline (R28); a vote is also bounded by Sent (R6). SaidWrite is not clamped: a standby that has more
// than it was sent has it from elsewhere. 0 is "no position", not "nothing".
type Ack struct {
	PID      int32
	Name     string // application_name as the standby gave it
	Timeline lsn.TimelineID
	Sent     lsn.LSN
	lsn.Progress
	SaidWrite lsn.LSN
	State     walsender.State
	At        time.Time
}

// SyncState is what the rule makes of a standby, in the words of pg_stat_replication.
type SyncState struct {
	State    string // async, potential, sync or quorum
	Priority int    // 0: async
}

// Feedback is hot standby feedback; 0 imposes nothing.
type Feedback = walsender.Feedback

// Conn, SessionInfo and NextTimeline are walsender's, so that callers import this package only.
type (
	Conn         = walsender.Conn
	SessionInfo  = walsender.Session
	NextTimeline = walsender.NextTimeline
)

// What ends a session; see [Hub.StartReplication].
var (
	ErrSessionOver = walsender.ErrSessionOver
	ErrDrain       = walsender.ErrDrain
)

// NextXID is the primary's next transaction ID, when it is known: values of feedback are judged by it.
type NextXID func() (copyboth.FullXID, bool)
