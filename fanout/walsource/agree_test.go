package walsource

import (
	"errors"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// judging is a store of system 7 on timeline 2, which left 1 at 0x4000, with WAL up to 0x9000.
type judging struct {
	Store
	have walstore.Positions
}

const judgingHistory = "1\t0/4000\tno recovery target specified\n"

func (s *judging) Positions() walstore.Positions { return s.have }

func (s *judging) Identity() (walstore.Identity, bool) {
	return walstore.Identity{System: 7, SegSize: 16 << 20, ServerMajor: 15}, s.have.Timeline != 0
}

func (s *judging) HistoryFile(t lsn.TimelineID) ([]byte, error) {
	if t != 2 {
		return nil, errors.New("no such file")
	}
	return []byte(judgingHistory), nil
}

func (s *judging) Promised() walstore.Promise { return walstore.Promise{} }

func (s *judging) Repairing() (walstore.Repair, bool) { return walstore.Repair{}, false }

func newJudging(t *testing.T) (*Supply, *judging) {
	s := &judging{have: walstore.Positions{Timeline: 2, Received: 0x9000, Complete: 0x9000, Flushed: 0x9000}}
	return with(t, Options{Store: s}), s
}

// A session's server is judged as the one to follow is: by system, history and what it must have. What may yet be
// followed is said to be so (ruling R43).
func TestJudge(t *testing.T) {
	good := Whereabouts{Endpoint: "db1:5432", System: 7, Timeline: 2, XLogPos: 0x9000, History: []byte(judgingHistory)}
	on := func(f func(*Whereabouts)) Whereabouts { w := good; f(&w); return w }
	for name, c := range map[string]struct {
		w       Whereabouts
		refusal string
	}{
		"the one":               {good, ""},
		"another system":        {on(func(w *Whereabouts) { w.System = 8 }), "55000 " + systemDiffers},
		"an old primary":        {on(func(w *Whereabouts) { w.Timeline, w.History = 1, nil }), "55000 highest timeline 1 of the"},
		"a standby on its way":  {on(func(w *Whereabouts) { w.Timeline, w.History, w.InRecovery = 1, nil, true }), "57P03 "},
		"it lost WAL":           {on(func(w *Whereabouts) { w.XLogPos = 0x8000 }), "55000 the primary has lost WAL up to 0/9000 of timeline 2, nobody knows from where on"},
		"a standby that lags":   {on(func(w *Whereabouts) { w.XLogPos, w.InRecovery = 0x8000, true }), ""},
		"another proxy that is": {on(func(w *Whereabouts) { w.XLogPos, w.Virtual = 0x8000, true }), ""},
		"a sibling": {on(func(w *Whereabouts) { w.History = []byte("1\t0/3000\tx\n") }),
			"55000 timeline 2 of the primary is not timeline 2 of the stored WAL"},
		"a new primary": {on(func(w *Whereabouts) {
			w.Timeline, w.XLogPos, w.History = 3, 0xb000, []byte(judgingHistory+"2\t0/a000\tx\n")
		}), "57P03 the database system is starting up"},
		"a fork that left before": {on(func(w *Whereabouts) {
			w.Timeline, w.XLogPos, w.History = 3, 0xb000, []byte("1\t0/3000\tx\n")
		}), "XX000 requested timeline 2 is not in this server's history"},
	} {
		r, _ := newJudging(t)
		if got := refusalText(r.Judge()(c.w)); !strings.HasPrefix(got, c.refusal) || (got == "") != (c.refusal == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
	r, s := newJudging(t)
	s.have = walstore.Positions{}
	if got := refusalText(r.Judge()(good)); !strings.HasPrefix(got, "57P03 ") {
		t.Errorf("an empty store: %q", got)
	}
	r, s = newJudging(t)
	judge := r.Judge()
	s.have.Timeline = 3
	if got := refusalText(judge(good)); !strings.HasPrefix(got, "57P03 ") {
		t.Errorf("a store that went over since: %q", got)
	}
}

// Of two servers that write one timeline the one whose WAL comes in is the primary.
func TestJudgeElsewhere(t *testing.T) {
	r, _ := newJudging(t)
	w := Whereabouts{Endpoint: "db2:5432", System: 7, Timeline: 2, XLogPos: 0x9000, History: []byte(judgingHistory)}
	r.rcv.Update(func(s *walreceiver.Status) {
		s.State, s.Timeline, s.System, s.Endpoint = walreceiver.Streaming, 2, 7, upstream.Endpoint{Host: "db1", Port: 5432}
	})
	r.rcv.SetParameters(map[string]string{inHotStandby: "off"})
	if got := refusalText(r.Judge()(w)); !strings.HasPrefix(got, "57P03 ") {
		t.Errorf("WAL comes from elsewhere: %q", got)
	}
	w.InRecovery = true
	if got := refusalText(r.Judge()(w)); got != "" {
		t.Errorf("a standby beside it: %q", got)
	}
	w.InRecovery = false
	r.rcv.SetParameters(map[string]string{inHotStandby: "on"})
	if got := refusalText(r.Judge()(w)); got != "" {
		t.Errorf("WAL comes from a standby: %q", got)
	}
	r.rcv.Disconnected()
	r.stop(walstore.ErrDiverged, "WAL differs", r.Status().Since)
	if got := refusalText(r.Judge()(w)); got != "55000 WAL differs" {
		t.Errorf("its WAL differs: %q", got)
	}
}

// A base backup ends where the stored WAL has its end.
func TestHolds(t *testing.T) {
	for _, c := range []struct {
		p    lsn.Point
		code string
	}{
		{lsn.Point{Timeline: 2, LSN: 0x9000}, ""}, {lsn.Point{Timeline: 2, LSN: 0x9001}, "57P03 "},
		{lsn.Point{Timeline: 3, LSN: 0x8000}, "57P03 "}, {lsn.Point{Timeline: 1, LSN: 0x4000}, ""},
		{lsn.Point{Timeline: 1, LSN: 0x4001}, "55000 timeline 1 was left at 0/4000, before 0/4001"},
	} {
		r, _ := newJudging(t)
		if got := refusalText(r.Holds(c.p)); !strings.HasPrefix(got, c.code) || (got == "") != (c.code == "") {
			t.Errorf("%v: %q", c.p, got)
		}
	}
}

func refusalText(err error) string {
	if err == nil {
		return ""
	}
	e := pgerror.From(err)
	return string(e.Code) + " " + e.Message
}
