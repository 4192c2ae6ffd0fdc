package fanout

import (
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Store is the hub's view of the WAL store; *[walstore.Store] is one. Methods may be called from any goroutine.
type Store interface {
	walsender.Store
	// Identity returns the adopted system; false when nothing was adopted yet.
	Identity() (walstore.Identity, bool)
	// Oldest returns the first position that the store can still serve. It comes after any removal that has
	// asked what is needed before the call: what SetRetention's function answers from then on is there.
	Oldest() lsn.LSN
	// HistoryFile returns the content of a timeline's history file; [walstore.ErrNoHistory] when the store has none.
	HistoryFile(lsn.TimelineID) ([]byte, error)
	// LastComplete returns the end of the last complete record at or below at, a position of t, or of the end of what
	// is received on it. For that end it costs nothing, else it may wait for the disk.
	LastComplete(t lsn.TimelineID, at lsn.LSN) (lsn.LSN, error)
	// SetRetention gives the function that tells from where WAL is needed; Invalid: nowhere.
	SetRetention(func() lsn.LSN)
	// NewReader and NewPatientReader open WAL of a timeline at a position. The first Next of a patient reader reports
	// what is missing, and can be repeated once that was fetched.
	NewReader(lsn.TimelineID, lsn.LSN) (*walstore.Reader, error)
	NewPatientReader(lsn.TimelineID, lsn.LSN) (*walstore.Reader, error)
}

// Losses tells of WAL that was given up, which a standby may still have instead of what is sent here now (ruling R32).
// Any goroutine may call it.
type Losses interface {
	// Known reports whether it is known here which WAL was given up. An error, in PostgreSQL's words, holds everybody
	// back: one that asks again may be let in. It does not block.
	Known() error
	// Asks reports whether a session is to say what it has before it gets WAL. It does not block.
	Asks(who SessionInfo, slot string) bool
	// Judge decides by the first report of a session, which asked for timeline t, whether it is served; an error, in
	// PostgreSQL's words, refuses it. It may wait for the disk. instead: Left is to be told of it.
	Judge(who SessionInfo, slot string, t lsn.TimelineID, first lsn.Progress) (instead bool, err error)
	// Left notes up to where a session that was let in had reported WAL of a timeline when it ended. It does not block.
	Left(who SessionInfo, slot string, t lsn.TimelineID, reported lsn.LSN)
	// GaveUp reports whether p lies within WAL that was given up, in whose place other WAL is stored here. It does not
	// block.
	GaveUp(p lsn.Point) bool
}

// noLosses is Losses where no WAL was ever given up: nobody is asked.
type noLosses struct{}

func (noLosses) Known() error { return nil }

func (noLosses) Asks(SessionInfo, string) bool { return false }

func (noLosses) Judge(SessionInfo, string, lsn.TimelineID, lsn.Progress) (bool, error) {
	return false, nil
}

func (noLosses) Left(SessionInfo, string, lsn.TimelineID, lsn.LSN) {}

func (noLosses) GaveUp(lsn.Point) bool { return false }

// Voter is one session's handle, which counts for nothing before the first Report. The sender calls Report, one call
// at a time, and any goroutine State, Counts and Doubted. Release is called once, after the last Report. None may
// block.
type Voter interface {
	walsender.Voter
	// State returns the standing of the standby under the rule, in the words of pg_stat_replication: sync_state (async,
	// potential, sync or quorum) and sync_priority (0: async).
	State() (state string, priority int)
	// Counts reports whether a rule counts the name.
	Counts() bool
	// Doubted says that the session is asked, since then, whether its standby has left it. silent is the time of its
	// last message, host the host that it comes from, "" for a unix socket. A Report that came after since ends that.
	Doubted(since, silent time.Time, host string)
	Release()
}

// Rule covers WAL; *cluster.Node is one. Methods may be called from any goroutine and don't block for long.
type Rule interface {
	Coverage() syncrep.Coverage
	// CoverageMoved has room for one token and gets it when Coverage may have changed, as long as that is wanted.
	CoverageMoved() <-chan struct{}
	WantCoverage(bool)
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
