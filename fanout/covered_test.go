package fanout

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// fakeRule covers the position that a test sets.
type fakeRule struct {
	mu     sync.Mutex
	c      syncrep.Coverage
	voters string // names, each between spaces
	wanted bool
	moved  chan struct{}
	asked  int
}

func newFakeRule() *fakeRule {
	return &fakeRule{moved: make(chan struct{}, 1), c: syncrep.Coverage{Timeline: 1}}
}

func (r *fakeRule) Coverage() syncrep.Coverage {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	voters := r.voters
	c := r.c
	c.Votes = func(name string) bool { return strings.Contains(voters, " "+name+" ") }
	return c
}

func (r *fakeRule) CoverageMoved() <-chan struct{} { return r.moved }

func (r *fakeRule) WantCoverage(wanted bool) { r.mu.Lock(); r.wanted = wanted; r.mu.Unlock() }

// set covers WAL of a timeline up to at, and says so.
func (r *fakeRule) set(t lsn.TimelineID, at lsn.LSN) {
	r.mu.Lock()
	r.c.Timeline, r.c.At = t, at
	wanted := r.wanted
	r.mu.Unlock()
	if wanted {
		r.moved <- struct{}{}
	}
}

// vote makes names voters.
func (r *fakeRule) vote(names string) {
	r.mu.Lock()
	r.voters = " " + names + " "
	r.c.Generation++
	r.mu.Unlock()
	r.moved <- struct{}{}
}

func standby2Only(name string) bool { return name == "standby_2" }

// coveredWorld has a rule, and holds standby_2 at what that covers.
func coveredWorld(t *testing.T) (*world, *fakeRule) {
	t.Helper()
	rule := newFakeRule()
	w := newWorld(t, func(o *Options) { o.Rule, o.Covered = rule, standby2Only })
	w.run(w.hub.RunCovered)
	return w.adopt(), rule
}

// recordEnd is the end of the last complete record.
func (w *world) recordEnd() lsn.LSN {
	w.t.Helper()
	end, err := w.store.LastComplete(1, walsender.NoBound)
	w.must(err)
	return end
}

// row returns a standby as it is shown.
func (w *world) row(pid int32) (row Standby) {
	for _, r := range w.hub.Standbys() {
		if r.PID == pid {
			row = r
		}
	}
	return row
}

// stays shows that a standby is sent nothing beyond at: it answers a ping after all that was sent.
func (s *standby) stays(pid int32, at lsn.LSN) {
	s.w.t.Helper()
	s.w.waitFor("the standby to be seen at its horizon", func() bool {
		r := s.w.row(pid)
		return r.Bounded && r.Covered == at
	})
	s.write('d', copyboth.StatusUpdate{Progress: lsn.Progress{Write: s.at}, ReplyRequested: true}.Append(nil))
	for {
		if got := s.read(); got[0] == 'k' {
			break
		}
	}
	if s.at != at {
		s.w.t.Fatalf("sent up to %s, covered is %s", s.at, at)
	}
}

// TestCoveredStandby: a standby that an entry holds gets WAL up to the last complete record that the rule covers, and
// others get all. Its START waits until that is known.
func TestCoveredStandby(t *testing.T) {
	w, rule := coveredWorld(t)
	w.grow(64 << 10)
	first := w.recordEnd()
	other, held := w.standby(1, StartRequest{At: w.gen.Start()}), w.standby(2, StartRequest{At: w.gen.Start()})
	other.until(w.end)
	if got := held.read(); got != copyBoth {
		t.Fatal(got)
	}
	if r := w.row(2); r.Sent != w.gen.Start() || !r.Bounded || w.row(1).Bounded {
		t.Fatalf("sent up to %s before anything was covered (%+v)", r.Sent, r)
	}
	within := first - 8 // inside the last record
	rule.set(1, within)
	before, err := w.store.LastComplete(1, within)
	w.must(err)
	if before >= within {
		t.Fatalf("a record ends at %s", within)
	}
	held.until(before)
	held.stays(2, before)
	rule.set(1, first)
	held.until(first)
	held.stays(2, first)
	w.grow(64 << 10)
	other.until(w.end)
	held.stays(2, first)
	rule.set(1, w.end+0x100000) // another proxy's standbys have more than is here
	held.until(w.recordEnd())
	w.grow(64 << 10)
	held.until(w.recordEnd())
}

// TestCoveredStart: positions are judged as ever (ruling R28), a member gets all, and a standby that is ahead waits.
func TestCoveredStart(t *testing.T) {
	w, rule := coveredWorld(t)
	w.grow(64 << 10)
	at := w.recordEnd()
	rule.set(1, at)
	if id, err := w.hub.Identify(); err != nil || id.XLogPos != w.end {
		t.Errorf("IDENTIFY_SYSTEM says %s (%v), received is %s", id.XLogPos, err, w.end)
	}
	w.grow(64 << 10)
	member := w.standby(2, StartRequest{At: w.gen.Start(), Whole: true})
	member.until(w.end)
	member.leave()
	ahead := w.standby(2, StartRequest{At: w.end})
	ahead.expect(copyBoth)
	ahead.waits(at)
	ahead.leave()
	far := w.standby(2, StartRequest{At: w.end + 2*lsn.LSN(testSeg)})
	var e *pgerror.Error
	if err := far.ended(); !errors.As(err, &e) || !strings.Contains(e.Message, "is ahead of the WAL flush position") {
		t.Errorf("far ahead: %v", err)
	}
}

// waits waits until a standby that has more than its horizon is known to wait there.
func (s *standby) waits(at lsn.LSN) {
	s.w.t.Helper()
	s.w.waitFor("the standby to wait", func() bool {
		r := s.w.row(2)
		return r.Bounded && r.Covered == at && r.Sent == s.at
	})
}

// TestCoveredNames: a name that enters the rule is sent all at once, one that leaves it is held; so does a reload of
// the entries.
func TestCoveredNames(t *testing.T) {
	w, rule := coveredWorld(t)
	w.grow(64 << 10)
	at := w.recordEnd()
	rule.set(1, at)
	held := w.standby(2, StartRequest{At: w.gen.Start()})
	held.until(at)
	w.grow(64 << 10)
	rule.vote("standby_2")
	held.until(w.end)
	rule.vote("standby_1")
	w.grow(64 << 10)
	w.waitFor("the standby to be held again", func() bool { return w.row(2).Bounded })
	w.hub.Tune(Tuning{})
	held.until(w.end)
	if rule.wanted {
		t.Error("the rule's word is still wanted")
	}
	w.hub.Tune(Tuning{Covered: standby2Only})
	w.waitFor("the standby to be held by a reload", func() bool { r := w.row(2); return r.Bounded && r.Covered == at })
}

// TestCoveredAcrossFork: a timeline that is left ends for a held standby too, and up to the fork the next one is
// covered, whatever the rule has covered there.
func TestCoveredAcrossFork(t *testing.T) {
	w, rule := coveredWorld(t)
	w.grow(64 << 10)
	at := w.recordEnd()
	rule.set(1, at)
	held := w.standby(2, StartRequest{At: w.gen.Start(), Timeline: 1})
	held.until(at)
	w.grow(64 << 10)
	fork := w.forkHere()
	rule.set(2, lsn.Invalid)
	w.grow(int(fork-w.end) + 64<<10)
	held.until(fork)
	for got := held.read(); got != `c ""`; got = held.read() {
		if got[0] != 'k' {
			t.Fatalf("got %s at %s, the fork is %s", got, held.at, fork)
		}
	}
	held.write('c', nil)
	if err := held.ended(); err != nil || held.next == nil || held.next.Start != fork {
		t.Fatalf("next %v, %v", held.next, err)
	}
	on := w.standby(2, StartRequest{At: fork, Timeline: 2})
	on.expect(copyBoth)
	w.waitFor("the standby to be held at the fork", func() bool { r := w.row(2); return r.Bounded && r.Covered == fork })
}

// TestFetchable: what wal-fetch may have, and that nothing is said before it is known.
func TestFetchable(t *testing.T) {
	w, rule := coveredWorld(t)
	w.grow(64 << 10)
	var e *pgerror.Error
	if _, err := w.hub.Fetchable(); !errors.As(err, &e) || e.Code != pgerror.CannotConnectNow {
		t.Fatalf("before anything was covered: %v", err)
	}
	at := w.recordEnd()
	w.grow(64 << 10)
	rule.set(1, at)
	w.waitFor("the end to be what is covered", func() bool {
		id, err := w.hub.Fetchable()
		return err == nil && id.XLogPos == at
	})
	rule.set(1, walsender.NoBound) // the rule is gone
	w.waitFor("the end to be what is received", func() bool {
		id, err := w.hub.Fetchable()
		return err == nil && id.XLogPos == w.end
	})
	w.hub.Tune(Tuning{})
	if id, err := w.hub.Fetchable(); err != nil || id.XLogPos != w.end {
		t.Errorf("without an entry: %s, %v", id.XLogPos, err)
	}
}

// TestCoveredIsFreeUnused: without an entry the rule is never asked.
func TestCoveredIsFreeUnused(t *testing.T) {
	rule := newFakeRule()
	w := newWorld(t, func(o *Options) { o.Rule = rule })
	w.run(w.hub.RunCovered)
	w.adopt().grow(64 << 10)
	s := w.standby(2, StartRequest{At: w.gen.Start()})
	s.until(w.end)
	s.leave()
	rule.mu.Lock()
	defer rule.mu.Unlock()
	if rule.asked > 0 || rule.wanted {
		t.Errorf("asked %d times, wanted %v", rule.asked, rule.wanted)
	}
}

// forkHere follows timeline 2 from the end of timeline 1 on, and gives the fork.
func (w *world) forkHere() lsn.LSN {
	w.t.Helper()
	fork := w.gen.End()
	w.gen = w.gen.Fork(fork, 2)
	w.must(w.store.PutHistory(2, w.gen.HistoryFile()))
	w.end = testSeg.Floor(fork)
	w.must(w.store.StartStream(2, w.end))
	return fork
}
