package fanout

import (
	"errors"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// walReader reads the store and has PostgreSQL's errors. What is missing or damaged it has fetched when it has a
// Filler.
type walReader struct {
	*walstore.Reader
	fill *backfill.Filler // nil: what is not there is not had
	wait *backfill.Wait   // nil: for nothing
}

// open returns the function that opens a session's readers. With fetched they have missing WAL fetched from other
// sources.
func (h *Hub) open(fetched bool) func(lsn.TimelineID, lsn.LSN) (walsender.Reader, error) {
	return func(t lsn.TimelineID, at lsn.LSN) (walsender.Reader, error) {
		w := &walReader{}
		open := h.o.Store.NewReader
		if fetched && h.o.Fill != nil {
			w.fill, open = h.o.Fill, h.o.Store.NewPatientReader
		}
		var err error
		if w.Reader, err = open(t, at); err != nil {
			return nil, readError(err)
		}
		return w, nil
	}
}

func (w *walReader) Next(limit lsn.LSN, maxBytes int) (walstore.Chunk, error) {
	c, err := w.Reader.Next(limit, maxBytes)
	if err != nil {
		return c, w.pending(err)
	}
	w.wait = nil
	return c, nil
}

// pending has missing or damaged WAL fetched, and returns a *walsender.PendingError meanwhile; it does not block. Where
// nothing fetches, and for any other err, it returns err in PostgreSQL's form. After a fetch that failed see
// fetchError.
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
	w.wait = w.fill.Need(w.Pos())
	return &walsender.PendingError{Done: w.wait.Done()}
}

// fetchError returns the client's error for WAL that no source gave: err is the store's, why the reason of the fetch.
// It says "removed" only after each source has answered that it has not got the WAL, since a standby takes that for the
// end of WAL. WAL that a source may still have is 58030. Other errors get the form that readError gives.
func fetchError(err, why error) error {
	var removed *walstore.RemovedError
	if errors.As(err, &removed) && !errors.Is(why, backfill.ErrUnavailable) && !errors.Is(why, backfill.ErrNoRoom) {
		return pgerror.New(pgerror.IOError, "could not fetch WAL segment %s, which the proxy's store lacks",
			removed.Segment).WithCause(errors.Join(err, why))
	}
	return readError(errors.Join(err, why))
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
