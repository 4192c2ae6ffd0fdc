package walstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// NextSegment returns the whole segment with which the stored WAL goes on: the one that holds its end. false: there is
// no WAL yet.
func (s *Store) NextSegment() (Segment, bool) {
	pos := s.Positions()
	if pos.Timeline == 0 {
		return Segment{}, false
	}
	g := Segment{Start: s.segs.size.Floor(pos.Received)}
	g.End = g.Start + s.segLen()
	g.Timeline = s.History().TimelineOf(g.End - 1)
	return g, true
}

// AppendSegment takes the next segment g from r, an archived file, instead of a stream: it is verified as
// by Import, and then appended as if it had been streamed. A stream that was going on is over. Call it
// from the goroutine of the stream; it waits for the disk as AppendFrom does.
//
// Errors: those of Import and AppendFrom. After an error nothing has changed, or a part of g was received.
func (s *Store) AppendSegment(ctx context.Context, g Segment, r io.Reader) error {
	if now, ok := s.NextSegment(); !ok || now != g {
		return fmt.Errorf("restore WAL: %w: segment %s is not the next one", ErrGap, s.Name(g))
	}
	if err := s.StartStream(g.Timeline, g.Start); err != nil {
		return err
	}
	s.in.hold = lsn.Invalid // it is one segment, and more may be owed
	s.importing.Lock()
	defer s.importing.Unlock()
	temp := s.walPath(s.Name(g) + importSuffix)
	_, err := s.stageFile(temp, g, r)
	if err == nil {
		err = s.checkOwedIn(temp, g)
	}
	if err == nil {
		err = s.appendFile(ctx, temp, g)
	}
	s.in.started = false
	if err = errors.Join(err, s.segs.remove(filepath.Base(temp))); err != nil {
		return fmt.Errorf("restore WAL segment %s: %w", s.Name(g), err)
	}
	return nil
}

// appendFile appends g out of a verified file, as [Store.AppendFrom] does. ctx ends that.
func (s *Store) appendFile(ctx context.Context, name string, g Segment) error {
	f, err := s.fs.Open(name)
	if err != nil {
		return err
	}
	wal := io.NewSectionReader(f, 0, int64(g.End-g.Start))
	for at := g.Start; at < g.End && err == nil; {
		n := min(overlapBuffer, g.End-at)
		err = s.AppendFrom(ctx, at, wal, int(n))
		at += n
	}
	return errors.Join(err, f.Close())
}

// checkOwedIn compares the file of g with the name of what is owed, if that is in g.
func (s *Store) checkOwedIn(name string, g Segment) error {
	r, owes := s.Repairing()
	p := r.Print
	if !owes || p.Timeline != g.Timeline || p.LSN <= g.Start || p.LSN > g.End {
		return nil
	}
	f, err := s.fs.Open(name)
	if err != nil {
		return err
	}
	h := xxhash.New()
	if err := errors.Join(hashFile(h, f, int64(p.LSN-g.Start)), f.Close()); err != nil {
		return err
	}
	if h.Sum64() != p.Sum {
		return &DivergedError{Timeline: g.Timeline, LSN: r.From}
	}
	return nil
}
