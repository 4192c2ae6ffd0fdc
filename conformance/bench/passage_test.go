package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// way has the stamps of one message that ends at a position, by two standbys, from a time on: 10 ns a step.
func way(at lsn.LSN, from int64) (all []stamp.Record) {
	for s := range stamp.Steps {
		r := stamp.Record{Step: s, At: at, Time: from + 10*int64(s)}
		if !ofStandby(s) {
			all = append(all, r)
			continue
		}
		for who := range int32(2) {
			r.Who = who + 1
			all = append(all, r)
			r.Time += 3
		}
	}
	return all
}

// TestPassages: a commit's stamp of a step is the first one at or beyond the end of its record.
func TestPassages(t *testing.T) {
	records := append(way(0x2000, 5000), way(0x1000, 1000)...) // as they come
	got := passages(records, []lsn.LSN{0x800, 0x1000, 0x1001, 0x2000, 0x2001})
	for i, from := range []int64{1000, 1000, 5000, 5000} {
		p := &got[i]
		if !p.complete(2) || p.times[stamp.Readable] != from || p.times[stamp.Asked] != from+10*int64(stamp.Asked) {
			t.Errorf("commit at %s: %v", p.at, p.times)
		}
		if before, after, same := p.disorder(); !same {
			t.Errorf("commit at %s: %s and %s", p.at, before, after)
		}
		if len(p.sent) != 2 || p.sent[1] != p.sent[0]+3 {
			t.Errorf("commit at %s was sent at %v", p.at, p.sent)
		}
	}
	if got[4].complete(0) {
		t.Error("a commit that was never there is complete")
	}
	got[0].times[stamp.Flushed] = got[0].times[stamp.Reporting] + 1
	if before, after, same := got[0].disorder(); same || before != stamp.Flushed || after != stamp.Reporting {
		t.Errorf("%s, %s, %v", before, after, same)
	}
}

// TestLegs: the legs of one way take what its stamps say, and the way to the report is in the picture and the tables.
func TestLegs(t *testing.T) {
	l := lineOf(1, 2, passages(way(0x1000, 1000), []lsn.LSN{0x1000}))
	for i, g := range legs[:len(legs)-1] {
		if want := 10 * time.Duration(g.to-min(g.from, g.to-1)); g.from != stamp.Published && l.legs[i].p50 != want {
			t.Errorf("%s: %s", g.name, l.legs[i].p50)
		}
	}
	if all := l.legs[len(legs)-1]; all.p50 != 10*time.Duration(stamp.Reported) || all.p99 != all.p50 || l.diskLast != 0 {
		t.Errorf("%+v, disk last %v", all, l.diskLast)
	}
	l.legs[0].p50 = 123 * time.Microsecond
	text := tables([]line{l})
	drawn := picture([]line{l, l})
	d := xml.NewDecoder(strings.NewReader(drawn))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("picture: %v", err)
		}
	}
	for _, g := range legs[:len(legs)-1] {
		if !strings.Contains(text, "| "+g.name+" |") || strings.Count(drawn, ">"+g.name+"<") != 2 {
			t.Errorf("%s is not there", g.name)
		}
	}
	if !strings.Contains(text, "| 123 |") {
		t.Errorf("no figure in %s", text)
	}
}

// TestRecordEnd: a record goes on behind the headers of the pages that it crosses.
func TestRecordEnd(t *testing.T) {
	for _, tc := range []struct {
		at   lsn.LSN
		size int
		end  lsn.LSN
	}{
		{0x2000028, 34, 0x2000050},
		{0x2001fe0, 32, 0x2002000},                 // to the page's end
		{0x2001fe0, 34, 0x2002000 + 24 + 8},        // 2 bytes on the next page
		{0x2ffffe0, 34, 0x3000000 + 40 + 8},        // the next segment
		{0x2001ff8, 8192 + 8, 0x2004000 + 24 + 24}, // a page has room for 8168
	} {
		if got := recordEnd(tc.at, tc.size); got != tc.end {
			t.Errorf("%d bytes at %s end at %s, not %s", tc.size, tc.at, got, tc.end)
		}
	}
}

// TestProfile: a stack is the leg of the innermost part, and of the kind that its end tells.
func TestProfile(t *testing.T) {
	p := profileOf(`File: replproxy
Type: cpu
-----------+-------------------------------------------------------
      20ms   internal/runtime/syscall/linux.Syscall6
             syscall.Syscall
             syscall.write
             internal/poll.(*FD).Write
             github.com/replproxy/replproxy/fanout/walreceiver.(*reporter).report
             github.com/replproxy/replproxy/fanout/walstore.(*Store).stage
-----------+-------------------------------------------------------
      10ms   runtime.futex
             runtime.futexsleep
             runtime.notesleep
             runtime.mcall
-----------+-------------------------------------------------------
`)
	if p.total != 30*time.Millisecond || p.cells["report"]["write, writev"] != 20*time.Millisecond ||
		p.cells["between goroutines"]["futex"] != 10*time.Millisecond {
		t.Errorf("%+v", p)
	}
}
