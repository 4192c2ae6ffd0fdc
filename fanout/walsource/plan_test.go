package walsource

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

const seg = lsn.LSN(16 << 20)

// fork3: 1 until 5 segments and a bit, 2 until 8 segments sharp, then 3.
var fork3 = lsn.History{Timeline: 3, Parents: []lsn.HistoryEntry{
	{Timeline: 1, Switch: 5*seg + 100}, {Timeline: 2, Switch: 8 * seg},
}}

func on(tli lsn.TimelineID, end lsn.LSN) walstore.Positions {
	return walstore.Positions{Timeline: tli, Oldest: seg, Received: end, Written: end, Flushed: end}
}

// TestRestorable: nothing that the upstream still writes, nor beyond what both have in common.
func TestRestorable(t *testing.T) {
	three := server{timeline: 3, history: fork3, seg: 16 << 20, xlogpos: 9*seg + 5}
	for _, c := range []struct {
		have walstore.Positions
		want lsn.LSN
	}{{on(3, 8*seg+9), 9 * seg}, {on(2, 6*seg), 8 * seg}, {on(1, 4*seg+9), 5 * seg}} {
		if got := restorable(c.have, three); got != c.want {
			t.Errorf("timeline %s: %s, expected %s", c.have.Timeline, got, c.want)
		}
	}
}

func TestPlanStart(t *testing.T) {
	three := server{timeline: 3, history: fork3, seg: 16 << 20, xlogpos: 9*seg + 5}
	slot := three
	slot.slotRestart, slot.slotTLI = 6*seg+7, 2
	foreignSlot := slot
	foreignSlot.slotTLI = 9
	one := server{timeline: 1, history: lsn.History{Timeline: 1}, seg: 16 << 20, xlogpos: 3*seg + 5}
	for name, c := range map[string]struct {
		have   walstore.Positions
		srv    server
		record lsn.LSN
		want   startPoint
		err    string
	}{
		"within the first record":         {on(1, 7*seg+77), one, 7*seg - 9, startPoint{1, 6 * seg}, ""},
		"within the second":               {on(1, 7*seg+77), one, 7*seg + 40, startPoint{1, 7 * seg}, ""},
		"segment end, a longer record":    {on(1, 7*seg), one, 6*seg - 9, startPoint{1, 5 * seg}, ""},
		"and the store begins there":      {on(1, 2*seg), one, seg - 9, startPoint{1, seg}, ""},
		"within the timeline's first":     {on(2, 5*seg+200), three, 5*seg - 9, startPoint{2, 5 * seg}, ""},
		"empty store":                     {walstore.Positions{}, three, 0, startPoint{3, 9 * seg}, ""},
		"empty store with slot":           {walstore.Positions{}, slot, 0, startPoint{2, 6 * seg}, ""},
		"slot on a timeline nobody knows": {walstore.Positions{}, foreignSlot, 0, startPoint{3, 9 * seg}, ""},
		"same timeline":                   {on(1, 2*seg+77), one, 0, startPoint{1, 2 * seg}, ""},
		"segment end":                     {on(1, 3*seg), one, 0, startPoint{1, 2 * seg}, ""},
		"segment end, nothing before":     {on(1, seg), one, 0, startPoint{1, seg}, ""},
		"segment end, lacking before":     {on(1, 4*seg), one, 0, startPoint{1, 4 * seg}, ""},
		"segment end of an ancestor":      {on(2, 7*seg), three, 0, startPoint{2, 6 * seg}, ""},
		"its first segment":               {on(2, 6*seg), three, 0, startPoint{2, 5 * seg}, ""},
		"where the timeline begins":       {on(3, 8*seg), three, 0, startPoint{3, 8 * seg}, ""},
		"ahead of the server":             {on(1, 4*seg+1), one, 0, startPoint{1, 4 * seg}, ""},
		"server behind":                   {on(3, 8*seg+1), one, 0, startPoint{}, "highest timeline 1 of the primary is behind recovery timeline 3"},
		"before the first fork":           {on(1, 4*seg+9), three, 0, startPoint{1, 4 * seg}, ""},
		"in the fork's segment":           {on(1, 5*seg+99), three, 0, startPoint{1, 5 * seg}, ""},
		"at the fork":                     {on(1, 5*seg+100), three, 0, startPoint{2, 5 * seg}, ""},
		"beyond the fork":                 {on(1, 5*seg+101), three, 0, startPoint{2, 5 * seg}, ""},
		"at a fork on a boundary":         {on(2, 8*seg), three, 0, startPoint{3, 8 * seg}, ""},
		"not an ancestor": {on(2, 2*seg), server{timeline: 3, seg: 16 << 20, history: lsn.History{Timeline: 3,
			Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: seg}}}}, 0, startPoint{}, "requested timeline 2 is not in this server's history"},
	} {
		got, err := planStart(c.have, c.srv, resumption{record: c.record, lacking: 3 * seg})
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, expected %q", name, err, c.err)
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v, expected %+v", name, got, err, c.want)
		}
	}
}

// TestDatedOverlap: a stream begins where the last transaction ended that is stored, if that is near. A segment behind
// which only records without a time lie may be the same in the history of a primary that has lost WAL.
func TestDatedOverlap(t *testing.T) {
	const size = 16 << 20
	seg := lsn.LSN(size)
	h := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 2*seg + 8}}}
	srv := server{timeline: 2, seg: size, history: h}
	for name, c := range map[string]struct {
		oldest, ended, lacking, want lsn.LSN
	}{
		"in the segment that is sent anyway": {2 * seg, 9*seg + 5, 0, 9 * seg},
		"in the one before":                  {2 * seg, 8*seg + 5, 0, 8 * seg},
		"four before":                        {2 * seg, 5*seg + 5, 0, 5 * seg},
		"further":                            {2 * seg, 4*seg + 5, 0, 9 * seg},
		"not stored any more":                {8 * seg, 7*seg + 5, 0, 9 * seg},
		"removed there":                      {2 * seg, 7*seg + 5, 7 * seg, 9 * seg},
	} {
		have := walstore.Positions{Timeline: 2, Oldest: c.oldest, Received: 9*seg + 500, Complete: 9*seg + 400}
		dated := func(from, to lsn.LSN) (bool, error) { return from <= c.ended && c.ended < to, nil }
		if got := datedOverlap(have, srv, startPoint{2, 9 * seg}, c.lacking, dated); got != (startPoint{2, c.want}) {
			t.Errorf("%s: %+v, expected %s", name, got, c.want)
		}
	}
	have := walstore.Positions{Timeline: 2, Oldest: 2 * seg, Received: 4*seg + 500, Complete: 4*seg + 400}
	if got := datedOverlap(have, srv, startPoint{2, 4 * seg}, 0, func(from, _ lsn.LSN) (bool, error) {
		return from < 2*seg, nil
	}); got.at != 4*seg {
		t.Errorf("before the timeline begins: %+v", got)
	}
}

// TestUncompared: only a store that has records which the server has removed goes on without a comparison.
func TestUncompared(t *testing.T) {
	h := lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 4 * seg}}}
	for name, c := range map[string]struct {
		have        walstore.Positions
		at, lacking lsn.LSN
		want        bool
	}{
		"removed there":               {walstore.Positions{Timeline: 2, Oldest: 2 * seg, Complete: 7*seg - 8}, 7 * seg, 6 * seg, true},
		"a record comes again":        {walstore.Positions{Timeline: 2, Oldest: 2 * seg, Complete: 7*seg + 80}, 7 * seg, 6 * seg, false},
		"nothing was asked in vain":   {walstore.Positions{Timeline: 2, Oldest: 2 * seg, Complete: 7*seg - 8}, 7 * seg, 0, false},
		"the store begins there":      {walstore.Positions{Timeline: 2, Oldest: 7 * seg}, 7 * seg, 6 * seg, false},
		"the timeline begins there":   {walstore.Positions{Timeline: 2, Oldest: 2 * seg, Complete: 4*seg - 8}, 4 * seg, 3 * seg, false},
		"another timeline is to come": {walstore.Positions{Timeline: 1, Oldest: 2 * seg, Complete: 4*seg - 8}, 4 * seg, 3 * seg, false},
	} {
		if got := uncompared(c.have, server{timeline: 2, history: h}, startPoint{2, c.at}, c.lacking); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestShowsLoss: what differs behind a whole record is that record's successor, whose link names another one.
func TestShowsLoss(t *testing.T) {
	for name, c := range map[string]struct {
		complete, received, at lsn.LSN
		want                   bool
	}{
		"in a complete record":           {900, 1000, 800, true},
		"in the incomplete one":          {900, 1000, 900, false},
		"behind the incomplete one":      {900, 1000, 1000, false},
		"behind a store that ends whole": {1000, 1000, 1000, true},
	} {
		if got := showsLoss(walstore.Positions{Complete: c.complete, Received: c.received}, c.at); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestUnanswered: a server whose WAL was refused here is there, so that a role is asked for at it (ruling R33).
func TestUnanswered(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		streamed bool
		want     bool
	}{
		"the connection broke":        {io.ErrUnexpectedEOF, true, true},
		"it broke before WAL came":    {io.ErrUnexpectedEOF, false, false},
		"its WAL differs":             {errPermanent{walstore.ErrDiverged}, true, false},
		"its WAL leaves a gap":        {&walstore.GapError{}, true, false},
		"its pages are of another":    {fmt.Errorf("receive: %w", walstore.ErrPage), true, false},
		"it has ended the stream":     {pgerror.New(pgerror.InternalError, "no"), true, false},
		"it stops":                    {pgerror.Fatal(pgerror.AdminShutdown, "terminating"), true, true},
		"it refused, others are down": {errPermanent{pgerror.Fatal(pgerror.AdminShutdown, "terminating")}, false, false},
	} {
		if got := unanswered(c.err, c.streamed); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestCheckIdentity(t *testing.T) {
	have := walstore.Identity{System: 7, SegSize: 16 << 20, ServerMajor: 15}
	ok := server{system: 7, seg: 16 << 20, version: 150020}
	if err := checkIdentity(have, ok); err != nil {
		t.Error(err)
	}
	for want, f := range map[string]func(*server){
		"database system identifier differs between the primary and standby": func(s *server) { s.system = 8 },
		"WAL segment size differs": func(s *server) { s.seg = 1 << 20 },
		"PostgreSQL 16":            func(s *server) { s.version = 160004 },
	} {
		srv := ok
		f(&srv)
		if err := checkIdentity(have, srv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

func TestSameWay(t *testing.T) {
	if err := sameWay(fork3, fork3); err != nil {
		t.Error(err)
	}
	other := fork3
	other.Parents = slices.Clone(fork3.Parents)
	other.Parents[1].Switch++
	shorter := lsn.History{Timeline: 3, Parents: fork3.Parents[:1]}
	for _, h := range []lsn.History{other, shorter} {
		if err := sameWay(fork3, h); err == nil || !strings.Contains(err.Error(), "timeline 3") {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

func TestTimelinesToFetch(t *testing.T) {
	stored := func(have ...lsn.TimelineID) func(lsn.TimelineID) bool {
		return func(t lsn.TimelineID) bool { return slices.Contains(have, t) }
	}
	for _, c := range []struct {
		last   lsn.TimelineID
		stored []lsn.TimelineID
		want   []lsn.TimelineID
	}{
		{0, nil, nil}, {1, nil, nil}, {2, nil, []lsn.TimelineID{2}}, {4, []lsn.TimelineID{3}, []lsn.TimelineID{4, 2}},
	} {
		if got := timelinesToFetch(c.last, stored(c.stored...)); !slices.Equal(got, c.want) {
			t.Errorf("%d with %v: %v", c.last, c.stored, got)
		}
	}
}

func TestVersionNum(t *testing.T) {
	for in, want := range map[string]int{"15.20 (Debian 15.20-0+deb12u1)": 150020, "18.4": 180004, "18beta1": 180000, "": 0, "x": 0} {
		if v := versionNum(in); v != want {
			t.Errorf("%q: %d", in, v)
		}
	}
}

// TestPromisedEndsWithARecord: WAL that must not be left behind ends with the last complete record that this proxy or
// another one reported. The beginning of the next one may be lacking (ruling R36).
func TestPromisedEndsWithARecord(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: lsn.MinSegSize})
	fork := g.Record(100).End
	g.Record(50_000)
	s := openStore(t, t.TempDir())
	if err := s.Adopt(walstore.Identity{System: g.Source.System, SegSize: lsn.MinSegSize, ServerMajor: 15}); err != nil {
		t.Fatal(err)
	}
	if err := s.StartStream(1, g.Start()); err != nil {
		t.Fatal(err)
	}
	received := (g.End() - 1).PageStart()
	wal := g.Bytes(g.Start(), received)
	if err := s.AppendFrom(t.Context(), g.Start(), bytes.NewReader(wal), len(wal)); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPromised(received - 100); err != nil {
		t.Fatal(err)
	}
	for _, others := range []lsn.LSN{0, received, received - 8192, g.End()} {
		said := knownwal.Known{Point: lsn.Point{System: g.Source.System, Timeline: 1, LSN: others}, By: "b", Acked: true}
		r := with(t, Options{Store: s, Others: func() ([]knownwal.Known, knownwal.Unheard) { return []knownwal.Known{said}, knownwal.Unheard{} }})
		want := fork
		if others > received {
			want = others // what is not stored here is not known
		}
		var got lsn.LSN
		for _, k := range r.knowledge().all {
			if k.Acked {
				got = max(got, k.LSN)
			}
		}
		if got != want {
			t.Errorf("promised up to %s, by others up to %s: %s must not be missing, want %s", received-100, others, got, want)
		}
	}
}

// TestStartBelowTheTimeline: a store on timeline 2 ends below the segment in which that began. A server has that segment
// as one of timeline 1 only.
func TestStartBelowTheTimeline(t *testing.T) {
	have := walstore.Positions{
		Timeline: 2, Oldest: 0x100000, Received: 0x200000, Written: 0x200000, Flushed: 0x200000, Complete: 0x1FF000,
	}
	left := lsn.HistoryEntry{Timeline: 1, Switch: 0x349C60}
	for _, h := range []lsn.History{
		{Timeline: 2, Parents: []lsn.HistoryEntry{left}},
		{Timeline: 3, Parents: []lsn.HistoryEntry{left, {Timeline: 2, Switch: 0x400000}}},
	} {
		srv := server{timeline: h.Timeline, xlogpos: 0x500000, seg: 1 << 20, history: h}
		p, err := planStart(have, srv, resumption{record: 0x1FE000})
		if want := (startPoint{1, 0x200000}); err != nil || p != want {
			t.Errorf("a server on timeline %s is asked for %+v, %v, want %+v", h.Timeline, p, err, want)
		}
	}
}
