package fanout

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// walStore is the WAL store in the form that hub and senders ask for.
type walStore struct {
	s    *walstore.Store
	fill *backfill.Filler // nil: what is not there is not had
}

// NewStore makes a Store of s.
func NewStore(s *walstore.Store) Store { return walStore{s: s} }

// NewFilledStore makes a Store of s in which fill replaces what is missing or damaged while somebody
// wants to read it.
func NewFilledStore(s *walstore.Store, fill *backfill.Filler) Store { return walStore{s, fill} }

func (w walStore) unfilled() walStore { return walStore{s: w.s} }

func (w walStore) Positions() walsender.Positions {
	tli, end, held := w.s.Served()
	return walsender.Positions{Timeline: tli, Received: end, Held: held}
}

func (w walStore) Oldest() lsn.LSN { return w.s.Oldest() }

func (w walStore) History() lsn.History { return w.s.History() }

func (w walStore) Identity() (lsn.SystemID, lsn.SegSize, bool) {
	id, ok := w.s.Identity()
	return id.System, id.SegSize, ok
}

func (w walStore) HistoryFile(tli lsn.TimelineID) ([]byte, error) {
	b, err := w.s.HistoryFile(tli)
	if errors.Is(err, walstore.ErrNoHistory) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return b, err
}

func (w walStore) LastComplete(t lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) {
	return w.s.LastComplete(t, at)
}

func (w walStore) SetRetention(oldest func() lsn.LSN) { w.s.SetRetention(oldest) }

func (w walStore) Watch() walsender.Watcher {
	return w.s.Watch(walstore.MovedReceived | walstore.MovedTimeline)
}

func (w walStore) WatchTimeline() walsender.Watcher { return w.s.Watch(walstore.MovedTimeline) }

func (w walStore) NewReader(tli lsn.TimelineID, start lsn.LSN) (walsender.Reader, error) {
	open := w.s.NewReader
	if w.fill != nil {
		open = w.s.NewPatientReader
	}
	r, err := open(tli, start)
	if err != nil {
		return nil, readError(err)
	}
	return &walReader{r: r, fill: w.fill}, nil
}

// walReader is a reader of the store in the form that a sender asks for.
type walReader struct {
	r    *walstore.Reader
	fill *backfill.Filler
	wait *backfill.Wait // nil: for nothing
}

func (w *walReader) Next(limit lsn.LSN, max int) (walsender.Chunk, error) {
	c, err := w.r.Next(limit, max)
	if err != nil {
		return walsender.Chunk{}, w.pending(err)
	}
	w.wait = nil
	out := walsender.Chunk{Start: c.Start, End: c.End, Mem: c.Mem, Offset: c.FileOffset}
	if f, ok := c.OSFile(); ok {
		out.File = f
	} else if c.File != nil {
		out.File = c.File
	}
	return out, nil
}

// pending has missing or damaged WAL fetched. When that failed, or brought nothing that can be read,
// err stands.
func (w *walReader) pending(err error) error {
	if w.fill == nil || !errors.Is(err, walstore.ErrRemoved) && !errors.Is(err, walstore.ErrDamaged) {
		return readError(err)
	}
	if w.wait != nil {
		select {
		case <-w.wait.Done():
			return fetchError(err, w.wait.Err())
		default:
			return &walsender.PendingError{Done: w.wait.Done()}
		}
	}
	w.wait = w.fill.Need(w.r.Pos())
	return &walsender.PendingError{Done: w.wait.Done()}
}

// fetchError is readError for WAL that was looked for in vain, and why. "Removed" is said only when everybody has
// answered that it is not there: who is told that takes it for the end of WAL.
func fetchError(err, why error) error {
	var removed *walstore.RemovedError
	if errors.As(err, &removed) && !errors.Is(why, backfill.ErrUnavailable) && !errors.Is(why, backfill.ErrNoRoom) {
		return pgerror.New(pgerror.IOError, "could not fetch WAL segment %s, which the proxy's store lacks",
			removed.Segment).WithCause(errors.Join(err, why))
	}
	return readError(errors.Join(err, why))
}

func (w *walReader) Close() error {
	w.r.Close()
	return nil
}

// readError gives an error of the store PostgreSQL's form. Standbys react to the first one: they fall
// back to their archive (K20).
func readError(err error) error {
	if errors.Is(err, backfill.ErrNoRoom) {
		return pgerror.New(pgerror.DiskFull, "could not fetch WAL that is older than the proxy's store").
			WithDetail("The proxy's volume has no more than wal.min_free free.").WithCause(err)
	}
	var removed *walstore.RemovedError
	if errors.As(err, &removed) {
		return pgerror.New(pgerror.UndefinedFile,
			"requested WAL segment %s has already been removed", removed.Segment).WithCause(err)
	}
	var damaged *walstore.DamagedError
	if errors.As(err, &damaged) {
		return pgerror.New(pgerror.DataCorrupted, "could not read from WAL segment %s: the stored copy is damaged",
			damaged.File).WithCause(err)
	}
	return err
}
