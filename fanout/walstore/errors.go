package walstore

import (
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// What errors of this package can be compared with by errors.Is. The errors themselves are the
// types below, which say what was expected and what was found.
var (
	ErrLocked        = errors.New("data directory is used by another process")
	ErrForeignDir    = errors.New("not a replproxy data directory")
	ErrForeignSystem = errors.New("WAL of another system")
	ErrNotAdopted    = errors.New("the store does not belong to a system yet")
	ErrGap           = errors.New("WAL is not contiguous")
	ErrPage          = walformat.ErrPage
	ErrDiverged      = errors.New("WAL differs from what is stored")
	ErrTimeline      = errors.New("timeline does not continue what is stored")
	ErrHistory       = errors.New("timeline history conflicts with the one stored")
	ErrNoHistory     = errors.New("no history of that timeline")
	ErrRemoved       = errors.New("requested WAL segment has already been removed")
	ErrDamaged       = errors.New("stored WAL is damaged")
	ErrFailed        = errors.New("the store has failed")
	ErrClosed        = errors.New("the store is closed")
	ErrMessageSize   = errors.New("WAL message is too large")
)

// LockedError: another proxy has the data directory. PID is 0 when unknown.
type LockedError struct {
	Dir string
	PID int
}

func (e *LockedError) Error() string {
	pid := ""
	if e.PID != 0 {
		pid = fmt.Sprintf(" (pid %d)", e.PID)
	}
	return fmt.Sprintf("data directory %q is used by another replproxy%s", e.Dir, pid)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(t error) bool { return t == ErrLocked }

// ForeignDirError: the directory holds something, and it isn't a store. Found names an example.
type ForeignDirError struct{ Dir, Found string }

func (e *ForeignDirError) Error() string {
	what := "it is not empty and has no " + metaName
	if e.Found == "PG_VERSION" {
		what = "it looks like the data directory of a PostgreSQL server"
	}
	return fmt.Sprintf("%q is not a replproxy data directory: %s (found %q)", e.Dir, what, e.Found)
}

// Is makes errors.Is(err, ErrForeignDir) true.
func (e *ForeignDirError) Is(t error) bool { return t == ErrForeignDir }

// ForeignSystemError: what upstream says about itself and what the store was made for differ.
type ForeignSystemError struct{ Stored, Offered Identity }

func (e *ForeignSystemError) Error() string {
	s, o := e.Stored, e.Offered
	switch {
	case s.System != o.System:
		return fmt.Sprintf("the store holds WAL of system %s, the upstream server is system %s", s.System, o.System)
	case s.SegSize != o.SegSize:
		return fmt.Sprintf("the store has wal_segment_size %s, the upstream server has %s", s.SegSize, o.SegSize)
	}
	return fmt.Sprintf("the store holds WAL of PostgreSQL %d, the upstream server is PostgreSQL %d",
		s.ServerMajor, o.ServerMajor)
}

// Is makes errors.Is(err, ErrForeignSystem) true.
func (e *ForeignSystemError) Is(t error) bool { return t == ErrForeignSystem }

// GapError: WAL at Got was offered where Expected follows.
type GapError struct{ Expected, Got lsn.LSN }

func (e *GapError) Error() string {
	return fmt.Sprintf("got WAL at %s, expected %s", e.Got, e.Expected)
}

// Is makes errors.Is(err, ErrGap) true.
func (e *GapError) Is(t error) bool { return t == ErrGap }

// PageError is a WAL page header that breaks the rules of facts H2; errors.Is(err, ErrPage) holds
// for what AppendFrom returns.
type PageError = walformat.PageError

// DivergedError: the byte at LSN, sent on Timeline, differs from the byte stored.
type DivergedError struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("WAL sent at %s on timeline %s differs from what is stored", e.LSN, e.Timeline)
}

// Is makes errors.Is(err, ErrDiverged) true.
func (e *DivergedError) Is(t error) bool { return t == ErrDiverged }

// TimelineError: Timeline can't follow Current; Reason says why.
type TimelineError struct {
	Timeline, Current lsn.TimelineID
	Reason            string
}

func (e *TimelineError) Error() string {
	return fmt.Sprintf("timeline %s can't follow timeline %s: %s", e.Timeline, e.Current, e.Reason)
}

// Is makes errors.Is(err, ErrTimeline) true.
func (e *TimelineError) Is(t error) bool { return t == ErrTimeline }

// RemovedError: the segment that holds the requested position isn't stored. Segment is the name
// for PostgreSQL's "requested WAL segment %s has already been removed" (58P01).
type RemovedError struct{ Segment string }

func (e *RemovedError) Error() string {
	return fmt.Sprintf("requested WAL segment %s has already been removed", e.Segment)
}

// Is makes errors.Is(err, ErrRemoved) true.
func (e *RemovedError) Is(t error) bool { return t == ErrRemoved }

// DamagedError: stored WAL that was valid once no longer is. LSN is where, as near as known.
type DamagedError struct {
	File   string
	LSN    lsn.LSN
	Reason string
	cause  error // fs.ErrNotExist of a file that is gone, or nil
}

// Unwrap gives fs.ErrNotExist when the file is gone.
func (e *DamagedError) Unwrap() error { return e.cause }

func (e *DamagedError) Error() string {
	if e.LSN == lsn.Invalid {
		return fmt.Sprintf("stored WAL is damaged: %s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("stored WAL is damaged: %s, at %s: %s", e.File, e.LSN, e.Reason)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(t error) bool { return t == ErrDamaged }

// failedError is returned by every call after the store has failed. It wraps the cause, and is [ErrFailed].
type failedError struct{ cause error }

func (e *failedError) Error() string        { return "the store has failed: " + e.cause.Error() }
func (e *failedError) Unwrap() error        { return e.cause }
func (e *failedError) Is(target error) bool { return target == ErrFailed }
