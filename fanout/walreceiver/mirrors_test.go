package walreceiver

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// mirrorsOn are there on some timelines.
type mirrorsOn map[lsn.TimelineID]bool

func (m mirrorsOn) Ready(_ upstream.Endpoint, _ lsn.SystemID, t lsn.TimelineID) bool { return m[t] }

func (mirrorsOn) Changed() <-chan struct{} { return nil }

// TestMirrorGate: nothing is reported on a timeline without mirrors, for a bounded time and once.
func TestMirrorGate(t *testing.T) {
	m := mirrorsOn{1: true}
	var states []string
	var log strings.Builder
	g := &mirrorGate{mirrors: m, log: slog.New(slog.NewTextHandler(&log, nil)),
		show: func(s MirrorState) { states = append(states, string(s)) }}
	now := time.Unix(1000, 0)
	want := func(held bool) {
		t.Helper()
		got, wake := g.holds(now)
		if got != held || !held && !wake.IsZero() || held && wake.Before(now) {
			t.Errorf("held: %t until %v, at %v", got, wake, now)
		}
	}
	g.begin(place{timeline: 1}, true, now)
	want(false)
	delete(m, 1) // a slot more
	want(false)

	g.begin(place{timeline: 2}, true, now)
	want(true)
	now = now.Add(mirrorWait - 1)
	g.begin(place{timeline: 2}, true, now) // the connection was lost meanwhile
	want(true)
	m[2] = true
	want(false)

	g.begin(place{timeline: 3}, true, now)
	want(true)
	now = now.Add(mirrorWait)
	want(false)
	want(false)
	g.begin(place{timeline: 3}, true, now)
	want(false)
	m[3] = true
	want(false)
	g.begin(place{timeline: 4}, false, now) // it ended below the server's
	want(false)
	if got := strings.Join(states, " "); got != "awaited  awaited missing " {
		t.Errorf("states %q", got)
	}
	if n := strings.Count(log.String(), "not mirrored"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

// TestNothingIsReportedWhileHeld: of a primary, that is; and what was reported is not taken back.
func TestNothingIsReportedWhileHeld(t *testing.T) {
	c := core{interval: time.Hour}
	now := time.Unix(1000, 0)
	step := func(v view, want lsn.LSN) {
		t.Helper()
		a, err := c.step(now, v)
		if err != nil || a.Report.Flush != want || a.Report.Write != want {
			t.Errorf("%+v %v, expected %s", a.Report, err, want)
		}
	}
	v := view{received: 100, written: 100, flushed: 100, limits: unlimited(), held: true, heard: now}
	step(v, 0)
	v.held = false
	step(v, 100)
	v.received, v.written, v.flushed, v.held = 200, 200, 200, true
	step(v, 100)
	c.recovery = true
	step(v, 200)
}
