package walstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/histogram"
	"github.com/replproxy/replproxy/internal/nudge"
)

// Store keeps one system's WAL. Its methods may be called from any goroutine, except those of the stream (StartStream,
// AppendFrom), which belong to one goroutine at a time. Make it with [Open].
type Store struct {
	// Fixed by Open.
	o      Options
	fs     FS
	dir    string // Options.Dir
	walDir string
	log    *slog.Logger
	lock   vfs.Lock
	aside  Aside // what Open has set aside

	// Set once, by Open or Adopt; segs before identity.
	identity atomic.Pointer[Identity]
	segs     *segments

	watch    Watchers
	slots    atomic.Pointer[func() lsn.LSN]
	onMoved  atomic.Pointer[func()] // see OnMoved; nil: nobody is told
	keepSize atomic.Int64           // Options.KeepSize, then SetKeepSize's
	full     atomic.Int32           // stages that wait for space
	heldOwed atomic.Uint64          // see HeldOwed
	moved    atomic.Bool            // written or flushed has, and OnMoved's function was not told
	failed   chan struct{}          // closed when err is set

	writeC, syncC, markC, oweC, housekeepingC, spaceC nudge.Chan
	aheadC                                            chan segKey // see ahead.go

	in     ingest // owned by the stream's goroutine
	syncs  SyncTimes
	hashes hashes
	stages stages // each part under its own lock, see disk.go

	importing sync.Mutex // one Import at a time
	lifeMu    sync.Mutex
	life      vfs.File  // open while written WAL is reported, or was; nil: it is not
	told      lsn.Point // what the file says was reported, of the life that this process has noted
	lifeTold  [lifeFileBytes - lifeToldAt]byte
	promised  promised

	// Hot state; every section under mu is short and does no I/O.
	mu      sync.Mutex
	pos     Positions
	syncing lsn.LSN // what the last fsync covers, or will when it returns
	synced  lsn.LSN // fsynced
	marked  lsn.LSN // how far the durable mark reaches,
	sure    lsn.LSN // and up to where it says that WAL was fsynced
	start   lsn.LSN // where the first stream began
	tail    tail
	history lsn.History
	paused  bool
	held    lsn.LSN // readers get nothing of the current timeline beyond it; Invalid: they get all
	repair  *Repair // nil: of nothing
	ahead   aheadOfFlush
	err     error // first failure, or ErrClosed
	dirty   []*segFile
	sealed  []sealJob

	histMu    sync.Mutex
	histories map[lsn.TimelineID]storedHistory
}

// SyncTimes counts how long fsyncs took: of WAL, and of the mark, which makes a position durable.
type SyncTimes struct{ WAL, Position histogram.Histogram }

// SyncTimes returns the counts of this store, which go on.
func (s *Store) SyncTimes() *SyncTimes { return &s.syncs }

// Open takes the data directory (made when missing), recovers what a crash left, and starts
// nothing. It reads at most the WAL since the segment before the mark; ctx ends that.
//
// WAL below the mark that is damaged is left to the stream, see [Store.Repairing].
//
// Errors: *[LockedError], *[ForeignDirError], *[DamagedError] (of the mark and the meta file), and those
// of the file system.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, err
	}
	s := &Store{
		o: o, fs: o.FS, dir: o.Dir, walDir: filepath.Join(o.Dir, walDirName), log: o.Logger,
		failed: make(chan struct{}),
		writeC: nudge.New(), syncC: nudge.New(), markC: nudge.New(), oweC: nudge.New(),
		housekeepingC: nudge.New(), spaceC: nudge.New(),
		aheadC:    make(chan segKey, aheadAsked),
		histories: make(map[lsn.TimelineID]storedHistory),
	}
	s.keepSize.Store(o.KeepSize)
	s.tail.max = int(o.TailSize / BlockSize)
	if err := s.open(ctx); err != nil {
		if s.lock != nil && ctx.Err() == nil && failsDisk(err) {
			s.forgetLife()
		}
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.release())
	}
	return s, nil
}

// Close releases the data directory. Run must have returned; what was received and is not flushed
// yet is lost, so let Run end by its context first. Readers get [ErrClosed].
func (s *Store) Close() error {
	if s.fail(ErrClosed); s.lock == nil {
		return nil
	}
	return s.release()
}

func (s *Store) release() error {
	var errs []error
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	for _, f := range dirty {
		errs = append(errs, f.f.Close())
	}
	if s.segs != nil {
		s.segs.mu.Lock()
		s.segs.closed = true
		s.segs.closeIdle(func(segKey) bool { return false })
		s.segs.mu.Unlock()
	}
	s.lifeMu.Lock()
	errs = append(errs, s.closeLife())
	s.lifeMu.Unlock()
	if s.stages.mark.f != nil {
		errs = append(errs, s.stages.mark.f.Close())
		s.stages.mark.f = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Identity says whose WAL this is; false: nothing was adopted yet.
func (s *Store) Identity() (Identity, bool) {
	if id := s.identity.Load(); id != nil {
		return *id, true
	}
	return Identity{}, false
}

// Adopt says whose WAL will be streamed. The first time it is made durable; later it is compared,
// and a difference is *[ForeignSystemError]. Call it before StartStream, from the same goroutine.
func (s *Store) Adopt(id Identity) error {
	if have, ok := s.Identity(); ok {
		if have != id {
			return &ForeignSystemError{Stored: have, Offered: id}
		}
		return nil
	}
	if _, known := walformat.Magic(id.ServerMajor); !known || !id.SegSize.Valid() || id.System == 0 {
		return fmt.Errorf("adopt system: unsupported identity: system %s, PostgreSQL %d, wal_segment_size %d",
			id.System, id.ServerMajor, id.SegSize)
	}
	content := twoCopies(metaMagic, encodeMeta(id))
	if err := vfs.WriteFile(s.fs, filepath.Join(s.dir, metaName), content); err != nil {
		return fmt.Errorf("adopt system: %w", err)
	}
	s.adopted(id)
	return nil
}

func (s *Store) adopted(id Identity) {
	s.segs = newSegments(s.fs, s.walDir, id.SegSize)
	s.in.checker.Source, s.in.framer.Source = id.source(), id.source()
	s.identity.Store(&id)
	s.housekeepingC.Wake()
}

func (s *Store) segLen() lsn.LSN { return lsn.LSN(s.segs.size) }

// source returns the values that pages and records of this system are checked against. in.checker's is the writer's
// alone.
func (id *Identity) source() walformat.Source {
	return walformat.Source{System: id.System, SegSize: id.SegSize, Major: id.ServerMajor}
}

// walker reads records of this system, for any goroutine.
func (s *Store) walker(tli lsn.TimelineID) *walformat.Walker {
	return &walformat.Walker{Source: s.identity.Load().source(), Timeline: tli}
}

// Positions returns the positions of the store, all at one moment. Any goroutine may call it.
func (s *Store) Positions() Positions {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pos
	p.Reportable = s.reportable()
	return p
}

// History returns the ancestry of the current timeline; the zero History before the first stream.
func (s *Store) History() lsn.History {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history
}

// Paused reports whether AppendFrom waits for the disk.
func (s *Store) Paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

// Full reports whether the disk has no room for WAL that was received. The stream goes on until the
// tail is full too, then it is Paused.
func (s *Store) Full() bool { return s.full.Load() > 0 }

// Err returns the failure that ended the store, nil while it works.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Watch makes a wake-up for what m names. Close it when done.
func (s *Store) Watch(m Mask) *Watcher { return s.watch.Add(m) }

// SetRetention sets the function that gives the oldest position that slots need, Invalid for none.
// It is called from the store's goroutines, under a lock: it must not wait, and of the store it may ask
// Positions only. Set it before Run, or WAL that slots need may be removed.
func (s *Store) SetRetention(oldest func() lsn.LSN) {
	s.slots.Store(&oldest)
	s.housekeepingC.Wake()
}

// OnMoved has told called whenever Run has written or flushed more, on the goroutine that did it, under no lock. It
// must not wait. Any goroutine may call OnMoved.
func (s *Store) OnMoved(told func()) { s.onMoved.Store(&told) }

// SetKeepSize changes Options.KeepSize; any goroutine may. WAL that is beyond a lower one goes at once.
func (s *Store) SetKeepSize(bytes int64) {
	s.keepSize.Store(bytes)
	s.housekeepingC.Wake()
}

// fail ends the store with its first cause. Everybody who waits is woken.
func (s *Store) fail(cause error) error {
	s.mu.Lock()
	if s.err == nil {
		if s.err = cause; cause != ErrClosed {
			s.err = &failedError{cause}
		}
		close(s.failed)
	}
	err := s.err
	s.mu.Unlock()
	if failsDisk(cause) {
		s.forgetLife()
	}
	s.watch.Nudge(MovedReceived | MovedWritten | MovedFlushed | MovedTimeline)
	return err
}

// endOf returns the end of the WAL of timeline t that can be read. s.mu is held.
func (s *Store) endOf(t lsn.TimelineID) lsn.LSN {
	if at, _, historic := s.history.SwitchPoint(t); historic {
		return min(at, s.pos.Received)
	}
	return s.pos.Received
}

// readState returns the state for NewReader, all at one moment.
func (s *Store) readState() (h lsn.History, pos Positions, low lsn.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history, s.pos, s.tail.low
}
