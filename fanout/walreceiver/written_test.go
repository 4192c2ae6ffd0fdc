package walreceiver

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestReportsOfWrittenWAL: with the bound in use write, flush and apply go as far as the store says, under a rule only,
// and never back.
func TestReportsOfWrittenWAL(t *testing.T) {
	v := at(1000, 900, 500)
	v.reportable, v.ruled = 800, true
	v.limits = lsn.Progress{Write: noLimit, Flush: noLimit, Apply: noLimit}
	for name, c := range map[string]struct {
		written, ruled bool
		limit          lsn.LSN
		want           lsn.Progress
	}{
		"as ever":              {false, true, noLimit, lsn.Progress{Write: 900, Flush: 500, Apply: 500}},
		"written":              {true, true, noLimit, lsn.Progress{Write: 900, Flush: 800, Apply: 800}},
		"the rule covers less": {true, true, 600, lsn.Progress{Write: 900, Flush: 600, Apply: 600}},
		"without a rule":       {true, false, noLimit, lsn.Progress{Write: 900, Flush: 500, Apply: 500}},
	} {
		v := v
		v.ruled, v.limits.Flush, v.limits.Apply = c.ruled, c.limit, c.limit
		a, err := (&core{written: c.written}).step(time.Now(), v)
		if err != nil || a.Report != c.want {
			t.Errorf("%s: %+v, %v", name, a.Report, err)
		}
	}
	c := core{written: true}
	if _, err := c.step(time.Now(), v); err != nil {
		t.Fatal(err)
	}
	v.ruled = false // as a last word may find it
	if a, err := c.step(time.Now(), v); err != nil || a.Report.Flush != 800 {
		t.Errorf("it goes back: %+v, %v", a.Report, err)
	}
	v.reportable, v.flushed = 700, 600
	if _, err := c.step(time.Now(), v); !errors.Is(err, ErrInvariant) {
		t.Errorf("more was reported than is safe: %v", err)
	}
}

// fakeBound is a store whose bound is where the test says.
type fakeBound struct {
	Store
	err     error
	asked   int
	flushed lsn.LSN
}

func (s *fakeBound) ReportWritten() error { s.asked++; return s.err }

func (s *fakeBound) Positions() walstore.Positions { return walstore.Positions{Flushed: s.flushed} }

// TestWhereWrittenWALIsReported: only under a rule, to a primary itself, without a slot that follows the reports.
func TestWhereWrittenWALIsReported(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for name, c := range map[string]struct {
		o    Options
		st   Stream
		fits bool
	}{
		"without a slot":          {Options{Written: yes}, Stream{ruled: true}, true},
		"its slot is apart":       {Options{Written: yes, Slot: "p"}, Stream{ruled: true, apart: true}, true},
		"its slot follows":        {Options{Written: yes, Slot: "p"}, Stream{ruled: true}, false},
		"not asked for":           {Options{Written: no}, Stream{ruled: true}, false},
		"nobody could ask":        {Options{}, Stream{ruled: true}, false},
		"without a rule":          {Options{Written: yes}, Stream{}, false},
		"a member":                {Options{Written: yes}, Stream{ruled: true, member: true, apart: true}, false},
		"a server in recovery":    {Options{Written: yes}, Stream{ruled: true, srv: Server{Recovery: true}}, false},
		"another proxy":           {Options{Written: yes}, Stream{ruled: true, srv: Server{Virtual: true}}, false},
		"slots.rule_gate is used": {Options{Written: yes}, Stream{ruled: true, ruleGate: grant{name: "g"}}, false},
	} {
		c.st.r = &Receiver{o: c.o}
		if w := c.st.newWritten(); w.fits != c.fits {
			t.Errorf("%s: %v", name, w.fits)
		}
	}
}

// TestWrittenWaitsForWhatIsOwed: while the store owes WAL the bound is asked for again, once a second. After an error of
// the disk it is not.
func TestWrittenWaitsForWhatIsOwed(t *testing.T) {
	store := &fakeBound{err: walstore.ErrOwing}
	rp := &reporter{store: store, live: newLive(&totals{}), written: writtenReports{fits: true}, log: slog.New(slog.DiscardHandler)}
	now := time.Now()
	for _, c := range []struct {
		after time.Duration
		err   error
		asked int
		uses  bool
	}{
		{0, walstore.ErrOwing, 1, false},
		{writtenAgain / 2, walstore.ErrOwing, 1, false},
		{writtenAgain, walstore.ErrOwing, 2, false},
		{2 * writtenAgain, nil, 3, true},
		{4 * writtenAgain, nil, 3, true},
	} {
		store.err = c.err
		rp.reportWritten(now.Add(c.after))
		if store.asked != c.asked || rp.core.written != c.uses {
			t.Errorf("%s: asked %d times, in use %v", c.after, store.asked, rp.core.written)
		}
	}
	store = &fakeBound{err: errors.New("read-only file system")}
	rp = &reporter{store: store, live: newLive(&totals{}), written: writtenReports{fits: true}, log: slog.New(slog.DiscardHandler)}
	for i := range time.Duration(3) {
		rp.reportWritten(now.Add(i * writtenAgain))
	}
	if store.asked != 1 || rp.core.written {
		t.Errorf("asked %d times, in use %v", store.asked, rp.core.written)
	}
}

// TestWrittenWaitsForWhatThePrimaryHad: what the primary had when the connection began is flushed first. So each restart of
// the primary that lies beyond what is flushed came after all that was reported.
func TestWrittenWaitsForWhatThePrimaryHad(t *testing.T) {
	store := &fakeBound{flushed: 900}
	st := Stream{ruled: true, srv: Server{End: 1000}, r: &Receiver{o: Options{Written: func() bool { return true }}}}
	rp := &reporter{store: store, live: newLive(&totals{}), written: st.newWritten(), log: slog.New(slog.DiscardHandler)}
	now := time.Now()
	if rp.reportWritten(now); rp.core.written || store.asked != 0 {
		t.Error("it is not waited for the disk")
	}
	store.flushed = 1000
	if rp.reportWritten(now); !rp.core.written {
		t.Error("it is still waited for the disk")
	}
}

// TestRuleBeginsAnotherBound: a rule that is set where there was none begins a connection whose reports have the other
// bound, also without a slot.
func TestRuleBeginsAnotherBound(t *testing.T) {
	for name, c := range map[string]struct {
		st   Stream
		want error
	}{
		"a primary": {Stream{}, ErrRuleChanged},
		"a member":  {Stream{member: true}, nil},
	} {
		c.st.r = &Receiver{o: Options{Written: func() bool { return true }}}
		rp := &reporter{written: c.st.newWritten()}
		if err := rp.begunOtherwise(false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := rp.begunOtherwise(true); !errors.Is(err, c.want) {
			t.Errorf("%s, a rule is set: %v", name, err)
		}
	}
}

// TestConnectionKeepsItsBound: a rule that is set or taken away, and wal.report, begin another connection.
func TestConnectionKeepsItsBound(t *testing.T) {
	says := true
	rp := &reporter{ruled: true, written: writtenReports{asked: func() bool { return says }, at: true}}
	if err := rp.begunOtherwise(false); err != nil {
		t.Errorf("a bound that is not in use: %v", err)
	}
	rp.core.written = true
	if err := rp.begunOtherwise(true); err != nil {
		t.Error(err)
	}
	if err := rp.begunOtherwise(false); !errors.Is(err, ErrRuleChanged) {
		t.Errorf("the rule is gone: %v", err)
	}
	says = false
	if err := rp.begunOtherwise(true); !errors.Is(err, ErrReportChanged) {
		t.Errorf("wal.report has changed: %v", err)
	}
}

// TestFastStopOnADiskThatHangs: a primary that stops waits until its last record is reported, and asks. Where the rule
// covers that no disk here is waited for, but for the bound. Where it does not, only what is flushed is released for the
// shutdown.
func TestFastStopOnADiskThatHangs(t *testing.T) {
	for name, c := range map[string]struct {
		reportable, covered, want lsn.LSN
		release                   bool
	}{
		"covered":                     {1000, 1000, 1000, false},
		"the bound is before it":      {800, 1000, 800, false},
		"the rule covers less":        {1000, 700, 700, false},
		"less, and then all is there": {1000, 700, 1000, true},
	} {
		v := at(1000, 1000, 500)
		v.reportable, v.ruled = c.reportable, true
		v.limits = lsn.Progress{Write: c.covered, Flush: c.covered, Apply: c.covered}
		v.pings, v.pingEnd, v.checkpoint = 1, 1000, 1000
		if c.release {
			v.flushed = 1000
		}
		a, err := (&core{written: true}).step(time.Now(), v)
		if err != nil || a.Report.Flush != c.want || a.Release != c.release {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// TestRestWaitsForTheDisk: when reports stand still the promise is noted anew, which waits for the disk. Reports that are
// ahead of a disk, which may hang, go on: it is noted once the disk has caught up.
func TestRestWaitsForTheDisk(t *testing.T) {
	for name, c := range map[string]struct {
		written bool
		flushed lsn.LSN
		fsyncs  int
	}{
		"the disk is behind":              {true, 50, 0},
		"it has caught up":                {true, 100, 1},
		"behind, and reports wait for it": {false, 50, 1},
	} {
		m := new(promises)
		rp := newTestReporter(m, newRule(upTo(1)))
		rp.core.written, rp.promise.bound = c.written, walstore.PromisedAll
		rp.promise.high.Store(100)
		v := view{received: 100, written: 100, reportable: 100, flushed: c.flushed}
		if _, err := rp.narrow(time.Now(), time.Time{}, v); err != nil || m.fsyncs != c.fsyncs {
			t.Errorf("%s: %v, %d fsyncs", name, err, m.fsyncs)
		}
	}
}
