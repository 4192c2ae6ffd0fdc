package lsn_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestHistoryFileName(t *testing.T) {
	if got := lsn.TimelineID(10).HistoryFileName(); got != "0000000A.history" {
		t.Error(got)
	}
	for name, want := range map[string]lsn.TimelineID{"0000000A.history": 10, "FFFFFFFF.history": 0xFFFFFFFF} {
		if got, ok := lsn.ParseHistoryFileName(name); !ok || got != want || got.HistoryFileName() != name {
			t.Errorf("%s: %d %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"", ".history", "00000000.history", "0000000a.history", "A.history", "0000000A.history.tmp", "0000000A",
	} {
		if _, ok := lsn.ParseHistoryFileName(name); ok {
			t.Errorf("%q is no history file", name)
		}
	}
}

// threeParents has a comment, blank lines, reasons with and without blanks, and one line without.
const threeParents = "# a comment\n\n1\t0/3025FB8\tno recovery target specified\n\n" +
	"  2\t0/5000000\n4\t1/A\tbefore 2026-01-01 00:00:00+00\r\n"

func TestParseHistory(t *testing.T) {
	h, err := lsn.ParseHistory(7, []byte(threeParents))
	if err != nil {
		t.Fatal(err)
	}
	want := lsn.History{Timeline: 7, Parents: []lsn.HistoryEntry{
		{Timeline: 1, Switch: 0x3025FB8, Reason: "no recovery target specified"},
		{Timeline: 2, Switch: 0x5000000},
		{Timeline: 4, Switch: 1<<32 | 10, Reason: "before 2026-01-01 00:00:00+00"},
	}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
	if h.Begin() != 1<<32|10 {
		t.Errorf("begins at %s", h.Begin())
	}
	for l, tli := range map[lsn.LSN]lsn.TimelineID{
		0: 1, 0x3025FB7: 1, 0x3025FB8: 2, 0x4FFFFFF: 2, 0x5000000: 4, 1<<32 | 9: 4, 1<<32 | 10: 7, ^lsn.LSN(0): 7,
	} {
		if got := h.TimelineOf(l); got != tli {
			t.Errorf("%s is on timeline %d, want %d", l, got, tli)
		}
	}
	checkSwitches(t, h, map[lsn.TimelineID]lsn.HistoryEntry{
		1: {Timeline: 2, Switch: 0x3025FB8}, 2: {Timeline: 4, Switch: 0x5000000}, 4: {Timeline: 7, Switch: 1<<32 | 10},
	})
	for tli := lsn.TimelineID(0); tli < 10; tli++ {
		if got, want := h.Contains(tli), slices.Contains([]lsn.TimelineID{1, 2, 4, 7}, tli); got != want {
			t.Errorf("contains %d: %v", tli, got)
		}
	}
}

// checkSwitches holds SwitchPoint against want: ancestor → where it was left and what follows.
func checkSwitches(t *testing.T, h lsn.History, want map[lsn.TimelineID]lsn.HistoryEntry) {
	t.Helper()
	for tli := lsn.TimelineID(0); tli < 10; tli++ {
		at, next, ok := h.SwitchPoint(tli)
		w, found := want[tli]
		if at != w.Switch || next != w.Timeline || ok != found {
			t.Errorf("timeline %d is left at %s for %d (%v)", tli, at, next, ok)
		}
	}
}

// TestDescendingHistory is a file that PostgreSQL 15.20 wrote: recovery along timeline 2 to a target
// that lies before the end of timeline 1.
func TestDescendingHistory(t *testing.T) {
	h, err := lsn.ParseHistory(3, []byte(
		"1\t0/6000000\tno recovery target specified\n\n2\t0/4004588\tafter LSN 0/4004558\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	for l, tli := range map[lsn.LSN]lsn.TimelineID{0x4004587: 1, 0x4004588: 3, 0x5FFFFFF: 3, 0x6000000: 3} {
		if got := h.TimelineOf(l); got != tli {
			t.Errorf("%s is on timeline %d, want %d", l, got, tli)
		}
	}
	checkSwitches(t, h, map[lsn.TimelineID]lsn.HistoryEntry{
		1: {Timeline: 3, Switch: 0x4004588}, 2: {Timeline: 3, Switch: 0x4004588},
	})
}

func TestFirstTimeline(t *testing.T) {
	h, err := lsn.ParseHistory(1, nil)
	if err != nil || h.Begin() != 0 || !h.Contains(1) || h.Contains(0) || h.TimelineOf(0) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
	if (lsn.History{}).Contains(0) {
		t.Error("no history contains timeline 0")
	}
}

func TestBadHistory(t *testing.T) {
	for content, tli := range map[string]lsn.TimelineID{
		"":                     0,
		"1":                    2,
		"1\t":                  2,
		"x\t0/1\n":             2,
		"0\t0/1\n":             2,
		"-1\t0/1\n":            2,
		"4294967296\t0/1\n":    9,
		"1\t0/x\n":             2,
		"1\t1\n":               2,
		"1\t123456789/0\n":     2,
		"2\t0/1\n":             2,
		"3\t0/1\n":             2,
		"1\t0/1\n1\t0/2\n":     3,
		"2\t0/1\n1\t0/2\n":     3,
		"1\t0/1\nand no more":  3,
		"1\t0/1\n2\t0/2\n\x00": 3,
	} {
		if h, err := lsn.ParseHistory(tli, []byte(content)); !errors.Is(err, lsn.ErrHistory) {
			t.Errorf("%q of %d: %+v, %v", content, tli, h, err)
		}
	}
}

// FuzzHistory: no panic; what is accepted is ordered, and its answers agree with each other.
func FuzzHistory(f *testing.F) {
	f.Add(uint32(7), []byte(threeParents))
	f.Add(uint32(3), []byte("1\t0/6000000\tx\n\n2\t0/4004588\ty\n"))
	f.Add(uint32(1), []byte(""))
	f.Add(uint32(2), []byte("1\t0/1\n"))
	f.Fuzz(func(t *testing.T, tli uint32, content []byte) {
		h, err := lsn.ParseHistory(lsn.TimelineID(tli), content)
		if err != nil {
			if !errors.Is(err, lsn.ErrHistory) || h.Timeline != 0 || h.Parents != nil {
				t.Errorf("%+v, %v", h, err)
			}
			return
		}
		if !h.Contains(lsn.TimelineID(tli)) || len(h.Parents) > len(content) {
			t.Errorf("%+v", h)
		}
		last := lsn.HistoryEntry{}
		for _, e := range h.Parents {
			if e.Timeline <= last.Timeline || e.Switch < last.Switch || e.Timeline >= h.Timeline {
				t.Fatalf("%+v is out of order", h)
			}
			at, next, ok := h.SwitchPoint(e.Timeline)
			if !ok || at != e.Switch || next <= e.Timeline || h.TimelineOf(at) != next {
				t.Errorf("%+v: timeline %d is left at %s for %d, but %s is on %d",
					h, e.Timeline, at, next, at, h.TimelineOf(at))
			}
			if e.Switch > last.Switch && h.TimelineOf(e.Switch-1) != e.Timeline {
				t.Errorf("%+v: the byte before %s is on %d", h, e.Switch, h.TimelineOf(e.Switch-1))
			}
			last = e
		}
		if h.TimelineOf(h.Begin()) != h.Timeline {
			t.Errorf("%+v does not hold its own begin", h)
		}
	})
}
