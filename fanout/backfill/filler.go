package backfill

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/nudge"
)

const (
	// maxAhead bounds the WAL that one fetch brings, in bytes. The price of a connection does not count against so
	// much, and any volume that holds a keep_size has room for it.
	maxAhead = 512 << 20
	// retryAfter is the time for which a failure answers for its segment. Standbys retry every 5 s
	// (wal_retrieve_retry_interval); 16 of them shall not cost 16 walsenders each time.
	retryAfter = 4 * time.Second
	// maxFailures bounds the failures that are remembered; beyond it, all are forgotten.
	maxFailures = 1000
)

// Errors of a wait.
var (
	// ErrUnavailable: each source answered that it has not got the segment. It wraps what each said.
	ErrUnavailable = errors.New("WAL is not available from any source")
	// ErrUnanswered: no source brought the segment, and one that may have it did not say so. It wraps what each said.
	ErrUnanswered = errors.New("WAL could not be fetched now")
	// ErrNoRoom: the volume has no room for old WAL, so none is fetched for now. Receiving needs it more.
	ErrNoRoom = errors.New("the volume has no room for WAL older than the store")
	// ErrUnwanted: the segment is not complete in this store, so the stream will bring it.
	ErrUnwanted = errors.New("WAL is not older than the store")
)

// Store is the part of *walstore.Store that is filled.
type Store interface {
	Identity() (walstore.Identity, bool)
	SegmentOf(lsn.LSN) (walstore.Segment, bool)
	Name(walstore.Segment) string
	Has(walstore.Segment) bool // there is a file, good or not
	Check(walstore.Segment) error
	Import(walstore.Segment, io.Reader) error
}

// Run is the WAL of whole segments of one timeline.
type Run struct {
	Timeline   lsn.TimelineID
	Start, End lsn.LSN
}

// Source has WAL. One fetch runs at a time.
type Source interface {
	// String names the source in messages.
	String() string
	// Open begins to deliver the bytes of r in order. Fewer are fine, in whole segments; what is not
	// there shows as an error of Open or Read. ctx ends both.
	Open(ctx context.Context, id walstore.Identity, r Run) (io.ReadCloser, error)
}

// Options of New. Store and at least one Source are required.
type Options struct {
	Store   Store
	Sources []Source // tried in order
	// Room returns how many bytes may still be written to the volume; nil or false: not known, any amount.
	Room   func() (int64, bool)
	Logger *slog.Logger
}

// Status is the work of a filler since it was made.
type Status struct {
	Active    bool   // a fetch is going on
	Waiting   int    // segments that somebody waits for
	Segments  uint64 // segments fetched
	Bytes     uint64 // of them
	Damaged   uint64 // segments found damaged
	Failed    uint64 // segments that no source had
	LastError string // of the last failure
}

// Filler fetches segments when they are needed. Methods may be called from any goroutine. Make it with [New].
type Filler struct {
	o     Options
	log   *slog.Logger
	nudge nudge.Chan

	mu      sync.Mutex
	sources []Source
	waits   map[lsn.LSN]*Wait // by the start of the segment
	queue   []*Wait           // of waits, in order of arrival
	failed  map[lsn.LSN]*Wait // of late
	status  Status
}

// Wait is somebody's wait for a segment; all who want the same segment share it.
type Wait struct {
	seg  walstore.Segment
	done chan struct{}
	err  error     // once done
	at   time.Time // once done
}

// Done returns a channel that is closed when the segment can be read or Err says why not.
func (w *Wait) Done() <-chan struct{} { return w.done }

// Err returns why the segment can't be read; nil while the wait goes on, and when it can be.
func (w *Wait) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// New makes a filler; it starts nothing.
func New(o Options) *Filler {
	if o.Room == nil {
		o.Room = func() (int64, bool) { return 0, false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Filler{
		o: o, log: o.Logger, sources: o.Sources, nudge: nudge.New(),
		waits: make(map[lsn.LSN]*Wait), failed: make(map[lsn.LSN]*Wait),
	}
}

// Need asks for the segment that holds pos, which the store can't serve: it is missing or damaged. It never blocks:
// wait for the Wait, which is over at once where nothing can be fetched.
func (f *Filler) Need(pos lsn.LSN) *Wait {
	seg, ok := f.o.Store.SegmentOf(pos)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok {
		w := &Wait{done: make(chan struct{}), err: ErrUnwanted}
		if pos == lsn.Invalid {
			w.err = ErrUnavailable // no server has WAL there: its first segment is never used
		}
		close(w.done)
		return w
	}
	if w := f.waits[seg.Start]; w != nil {
		return w
	}
	if w := f.failed[seg.Start]; w != nil && w.seg == seg && time.Since(w.at) < retryAfter {
		return w
	}
	w := &Wait{seg: seg, done: make(chan struct{})}
	f.waits[seg.Start] = w
	f.queue = append(f.queue, w)
	f.status.Waiting = len(f.waits)
	f.nudge.Wake()
	return w
}

// SetSources replaces Options.Sources. A fetch that goes on is not disturbed.
func (f *Filler) SetSources(all ...Source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources = all
	clear(f.failed) // a new source may have it
}

func (f *Filler) from() []Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sources
}

// Status returns the filler now.
func (f *Filler) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}
