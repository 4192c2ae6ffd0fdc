package walstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/internal/nudge"
)

// Run moves WAL from memory to disk until ctx ends, then writes and flushes everything received by
// then and returns nil. A disk that fails ends it at once with the cause: after that nothing more
// is ever claimed written or flushed. A full disk does not: the writer waits for space, and the
// stream with it. Call it once; the stream must have ended, or fail, when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	stop := make(chan struct{}) // the helpers' end, after the last flush
	var wg sync.WaitGroup
	wg.Go(func() { s.stage(stop, s.writeC, s.telling(s.writeStep)) })
	wg.Go(func() { s.stage(stop, s.syncC, s.telling(s.syncStep)) })
	wg.Go(func() { s.stage(stop, s.markC, s.telling(s.markStep)) })
	wg.Go(func() { s.stage(stop, s.oweC, s.telling(s.aheadStep)) })
	wg.Go(func() { s.housekeep(stop) })
	wg.Go(func() { s.verifyAhead(stop) })
	wg.Go(func() { s.keepLock(stop) })
	for _, c := range []nudge.Chan{s.writeC, s.syncC, s.markC, s.oweC, s.housekeepingC} {
		c.Wake()
	}
	var err error
	select {
	case <-ctx.Done():
		if err = s.drain(); err != nil {
			_ = s.fail(err)
		}
	case <-s.failed:
	}
	close(stop)
	wg.Wait()
	if failed := s.Err(); failed != nil {
		return failed
	}
	if err == nil {
		err = s.closeMark()
	}
	if err == nil {
		err = s.closePromise()
	}
	return err
}

// lockInterval spaces the looks whether the lock's file and those open for writing are still there.
const lockInterval = 2 * time.Second

// keepLock makes the lock's file anew when somebody has removed it, until stop. The directory is locked all the time,
// but release v0.1.0 looks at the file alone. If such a process was quicker it has the store, and this one ends, as a
// postmaster without its postmaster.pid does. This one ends, too, when its path leads elsewhere: its next write would
// go there. So it does when WAL that it has is not found by name any more.
func (s *Store) keepLock(stop <-chan struct{}) {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-stop:
			return
		case <-s.failed:
			return
		case <-tick.C:
		}
		err := s.lock.Keep()
		if err == nil && s.Err() == nil {
			err = s.lookAtNames()
		}
		if held := (*vfs.HeldError)(nil); errors.As(err, &held) {
			s.log.Error("the lock file was removed, and another process has the data directory", "pid", held.PID)
			_ = s.fail(&LockedError{Dir: s.dir, PID: held.PID})
			return
		}
		if errors.Is(err, vfs.ErrMoved) {
			s.log.Error("the store has failed", "err", err)
			_ = s.fail(err)
			return
		}
		if err != nil && err.Error() != said {
			s.log.Error("cannot make the lock file of the data directory anew", "err", err)
		}
		if said = ""; err != nil {
			said = err.Error()
		}
	}
}

// stage repeats step whenever it is nudged.
func (s *Store) stage(stop <-chan struct{}, wake nudge.Chan, step func() (bool, error)) {
	full := false // of the disk, at the last try
	again := time.AfterFunc(noSpaceRetry, wake.Wake)
	defer again.Stop()
	for s.waitFor(stop, wake) {
		err := s.exhaust(step)
		if err == nil {
			if full {
				s.full.Add(-1)
				s.log.Info("there is space again, writing WAL goes on")
			}
			full = false
			continue
		}
		if !errors.Is(err, errNoSpace) {
			if gone := s.lookAtNames(); gone != nil { // the step failed for that
				err = gone
			}
			s.log.Error("the store has failed", "err", err)
			_ = s.fail(err)
			return
		}
		if !full {
			s.full.Add(1)
			s.sayFull(err)
		}
		full = true
		s.housekeepingC.Wake() // slots may have let go of something
		again.Reset(noSpaceRetry)
	}
}

func (s *Store) sayFull(err error) {
	if descriptors.IsShort(err) {
		s.log.Error("too many open files: WAL waits in memory, and the stream once that is used up",
			"err", err)
		return
	}
	s.log.Error("the disk is full: WAL waits in memory for space, and the stream once that is used up", "err", err)
}

// telling returns step, with a call of whoever is to be told after what it moved, see [Store.OnMoved].
func (s *Store) telling(step func() (bool, error)) func() (bool, error) {
	return func() (bool, error) {
		more, err := step()
		if told := s.onMoved.Load(); told != nil && s.moved.Swap(false) {
			(*told)()
		}
		return more, err
	}
}

// exhaust repeats step while there is work. It returns the error of a step, and nil also when the store has failed
// elsewhere.
func (s *Store) exhaust(step func() (bool, error)) error {
	for {
		more, err := step()
		if err != nil || !more || s.Err() != nil {
			return err
		}
	}
}

// waitFor reports whether the nudge came before the end.
func (s *Store) waitFor(stop, wake <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-s.failed:
		return false
	case <-wake:
		return true
	}
}

// housekeep repeats housekeepingStep when nudged and, because slots move without WAL, every now and then.
func (s *Store) housekeep(stop <-chan struct{}) {
	tick := time.NewTicker(retentionInterval)
	defer tick.Stop()
	quiet := false
	for {
		select {
		case <-stop:
			return
		case <-s.failed:
			return
		case <-s.housekeepingC:
		case <-tick.C:
		}
		err := s.housekeepingStep()
		if err != nil && !quiet {
			s.log.Warn("making segments ready failed, trying again", "err", err)
		}
		quiet = err != nil
	}
}
