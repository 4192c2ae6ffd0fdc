package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/internal/descriptors"
)

// Run fetches until ctx ends, then fails who still waits and returns nil.
func (f *Filler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		w := f.next()
		if w == nil {
			select {
			case <-ctx.Done():
			case <-f.nudge:
			}
			continue
		}
		if err := f.serve(ctx, w.seg); err != nil {
			f.finish(w.seg, err)
		}
	}
	for w := f.next(); w != nil; w = f.next() {
		f.finish(w.seg, context.Cause(ctx))
	}
	return nil
}

// next returns the oldest wait.
func (f *Filler) next() *Wait {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 {
		if w := f.queue[0]; w.Err() == nil && f.waits[w.seg.Start] == w {
			f.status.Active = true
			return w
		}
		f.queue = f.queue[1:]
	}
	f.status.Active = false
	return nil
}

// finish ends the wait for seg, if there is one.
func (f *Filler) finish(seg walstore.Segment, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.waits[seg.Start]
	if err == nil {
		delete(f.failed, seg.Start)
	}
	if w == nil {
		return
	}
	delete(f.waits, seg.Start)
	f.status.Waiting = len(f.waits)
	if w.err, w.at = err, time.Now(); err != nil {
		f.status.Failed++
		f.status.LastError = err.Error()
		if len(f.failed) >= maxFailures {
			clear(f.failed)
		}
		f.failed[seg.Start] = w
	}
	close(w.done)
}

// serve gets seg, and what follows it and is missing too, from the first source that has it.
func (f *Filler) serve(ctx context.Context, seg walstore.Segment) error {
	if now, ok := f.o.Store.SegmentOf(seg.Start); !ok || now != seg {
		return ErrUnwanted // the history has changed
	}
	err := f.o.Store.Check(seg)
	switch {
	case err == nil:
		f.finish(seg, nil) // somebody else's fetch brought it
		return nil
	case errors.Is(err, walstore.ErrDamaged):
		f.log.Error("a stored WAL segment is damaged, fetching it again", "segment", f.o.Store.Name(seg), "err", err)
		f.mu.Lock()
		f.status.Damaged++
		f.mu.Unlock()
	case !errors.Is(err, walstore.ErrRemoved):
		return err
	}
	run := f.plan(seg)
	if errors.Is(err, walstore.ErrRemoved) && !f.fits(seg) { // a damaged one has its place
		err := fmt.Errorf("segment %s: %w", f.o.Store.Name(seg), ErrNoRoom)
		f.log.Warn("WAL that a standby asks for is not fetched", "segment", f.o.Store.Name(seg), "err", err)
		return err
	}
	id, _ := f.o.Store.Identity()
	var errs []error
	for _, src := range f.from() {
		n, err := f.fetch(ctx, src, id, run, seg)
		if n > 0 {
			f.log.Info("fetched WAL older than the store", "from", src, "segments", n, "start_lsn", seg.Start)
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", src, err))
	}
	cause := ErrUnavailable
	if len(errs) == 0 || slices.ContainsFunc(errs, func(err error) bool { return !Absent(err) }) {
		cause = ErrUnanswered
	}
	if err := errors.Join(errs...); errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EDQUOT) || descriptors.IsShort(err) {
		cause = ErrNoRoom
	}
	err = fmt.Errorf("%w: segment %s: %w", cause, f.o.Store.Name(seg), errors.Join(errs...))
	f.log.Warn("WAL that a standby asks for can't be had", "segment", f.o.Store.Name(seg), "err", err)
	return err
}

// fits reports whether there is room for seg and the file that an archive brings it in.
func (f *Filler) fits(seg walstore.Segment) bool {
	room, known := f.o.Room()
	return !known || room >= 2*int64(seg.End-seg.Start)
}

// plan extends seg by the segments of its timeline that follow and are missing.
func (f *Filler) plan(seg walstore.Segment) Run {
	r := Run{Timeline: seg.Timeline, Start: seg.Start, End: seg.End}
	for r.End-r.Start < maxAhead {
		next, ok := f.o.Store.SegmentOf(r.End)
		if !ok || next.Timeline != seg.Timeline || f.o.Store.Has(next) {
			break
		}
		r.End = next.End
	}
	return r
}

// fetch imports the segments of r that src has, and returns their number.
func (f *Filler) fetch(ctx context.Context, src Source, id walstore.Identity, r Run, seg walstore.Segment,
) (n int, err error) {
	wal, err := src.Open(ctx, id, r)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, wal.Close()) }()
	for ok := true; ok && seg.Timeline == r.Timeline && seg.Start < r.End; seg, ok = f.o.Store.SegmentOf(seg.End) {
		if n > 0 && !f.fits(seg) {
			break // who waits for the rest asks again, and is told
		}
		if err := f.o.Store.Import(seg, wal); err != nil {
			return n, err
		}
		n++
		f.mu.Lock()
		f.status.Segments++
		f.status.Bytes += uint64(seg.End - seg.Start)
		f.mu.Unlock()
		f.finish(seg, nil)
	}
	return n, nil
}
