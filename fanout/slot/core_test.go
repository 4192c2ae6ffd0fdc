package slot

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const seg = lsn.SegSize(16 << 20)

// at is a position in the middle of a segment.
func at(segno uint64) lsn.LSN { return seg.Start(segno) + 4096 }

func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const s16 = int64(seg)
	bounds := func(change func(*Bounds)) Bounds {
		b := Bounds{SegSize: seg, Oldest: at(10), Received: at(100), KeepSize: 4 * s16, MaxKeep: NoLimit}
		change(&b)
		return b
	}
	half := s16 - 4096 // of the segment that is written, still free
	for _, c := range []struct {
		name   string
		bounds Bounds
		slots  []Info
		want   []Availability
	}{
		{"no limit", bounds(func(*Bounds) {}),
			[]Info{{Restart: at(100)}, {Restart: at(95)}, {Restart: at(94)}, {}, {Lost: WALRemoved}},
			[]Availability{{Status: Reserved}, {Status: Reserved}, {Status: Extended}, {}, {Status: Lost}}},
		{"WAL is gone", bounds(func(*Bounds) {}),
			[]Info{{Restart: at(9)}, {Restart: at(10)}},
			[]Availability{{Status: Unreserved, Lose: WALRemoved}, {Status: Extended}}},
		{"adopted, WAL still on the primary", bounds(func(*Bounds) {}),
			[]Info{{Restart: at(9), Real: Adopted}}, []Availability{{Status: Extended}}},
		{"adopted, WAL still on the primary, beyond its cap", bounds(func(b *Bounds) { b.MaxKeep = 10 * s16 }),
			[]Info{{Restart: at(9), Real: Adopted}},
			[]Availability{{Status: Unreserved, Lose: WALRemoved, Safe: half - 81*s16, SafeKnown: true}}},
		{"adopted, WAL still on the primary, no room", bounds(func(b *Bounds) { b.MaxKeep, b.Room = Auto, -1 }),
			[]Info{{Restart: at(9), Real: Adopted}},
			[]Availability{{Status: Unreserved, Lose: WALRemoved, Safe: -1, SafeKnown: true}}},
		{"a size counts whole segments", bounds(func(b *Bounds) { b.MaxKeep = 10*s16 + 5 }),
			[]Info{{Restart: at(90)}, {Restart: at(89)}},
			[]Availability{{Status: Extended, Safe: half, SafeKnown: true},
				{Status: Unreserved, Lose: WALRemoved, Safe: half - s16, SafeKnown: true}}},
		{"a size below keep_size", bounds(func(b *Bounds) { b.MaxKeep = 0 }),
			[]Info{{Restart: at(96)}, {Restart: at(95)}},
			[]Availability{{Status: Reserved, Safe: half, SafeKnown: true},
				{Status: Unreserved, Lose: WALRemoved, Safe: half - s16, SafeKnown: true}}},
		{"auto with room", bounds(func(b *Bounds) { b.MaxKeep, b.Room = Auto, 7 }),
			[]Info{{Restart: at(50)}, {Restart: at(20)}, {Restart: at(99)}},
			[]Availability{{Status: Extended, Safe: 7 + 40*s16, SafeKnown: true},
				{Status: Extended, Safe: 7 + 10*s16, SafeKnown: true}, {Status: Reserved}}},
		{"auto: the furthest behind is enough", bounds(func(b *Bounds) { b.MaxKeep, b.Room = Auto, -11*s16 }),
			[]Info{{Restart: at(50)}, {Restart: at(20)}, {Restart: at(20)}},
			[]Availability{{Status: Extended, Safe: 29 * s16, SafeKnown: true},
				{Status: Unreserved, Lose: WALRemoved, Safe: -s16, SafeKnown: true},
				{Status: Unreserved, Lose: WALRemoved, Safe: -s16, SafeKnown: true}}},
		{"auto: what nobody holds is room", bounds(func(b *Bounds) { b.MaxKeep, b.Room = Auto, -10*s16 }),
			[]Info{{Restart: at(20)}}, []Availability{{Status: Extended, SafeKnown: true}}},
		{"auto: losing would free nothing", bounds(func(b *Bounds) { b.MaxKeep, b.Room = Auto, -1<<60 }),
			[]Info{{Restart: at(97)}, {Restart: at(50)}},
			[]Availability{{Status: Reserved},
				{Status: Unreserved, Lose: WALRemoved, Safe: 40*s16 - 1<<60, SafeKnown: true}}},
		{"idle", bounds(func(b *Bounds) { b.IdleTimeout = time.Minute }),
			[]Info{{Restart: at(99), Inactive: now.Add(-time.Minute)}, {Restart: at(99), Inactive: now.Add(-59 * time.Second)},
				{Restart: at(99), ActivePID: 7}, {Inactive: now.Add(-time.Hour)}},
			[]Availability{{Status: Reserved, Lose: IdleTimeout}, {Status: Reserved}, {Status: Reserved}, {}}},
		{"nothing received yet", Bounds{MaxKeep: Auto, Room: -1}, []Info{{Restart: at(1)}}, []Availability{{}}},
	} {
		for i, got := range c.bounds.Judge(c.slots, now) {
			if got != c.want[i] {
				t.Errorf("%s: slot %d: %+v, expected %+v", c.name, i, got, c.want[i])
			}
		}
	}
}

// TestAutoLosesNoMoreThanNeeded: under any situation the lost ones are the furthest behind, keeping
// the last of them would not have been enough, and none of them holds what is kept anyway.
func TestAutoLosesNoMoreThanNeeded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		b := Bounds{SegSize: seg, Oldest: at(10), Received: at(100), KeepSize: rnd.Int64N(40) * int64(seg), MaxKeep: Auto,
			Room: (rnd.Int64N(200) - 150) * int64(seg)}
		slots := make([]Info, rnd.IntN(6))
		for i := range slots {
			slots[i] = Info{Name: fmt.Sprint(i), Restart: at(10 + rnd.Uint64N(91))}
		}
		var lost, kept []lsn.LSN
		for i, v := range b.Judge(slots, time.Time{}) {
			if v.Lose != NotLost {
				lost = append(lost, slots[i].Restart)
			} else {
				kept = append(kept, slots[i].Restart)
			}
		}
		for _, l := range lost {
			freed := int64(seg.Segno(l)-seg.Segno(b.Oldest)) * int64(seg)
			if b.Room+freed >= 0 {
				t.Fatalf("%+v: %s was lost without need", b, l)
			}
			if seg.Segno(l) >= seg.Segno(b.Received-lsn.LSN(b.KeepSize)) {
				t.Fatalf("%+v: losing %s frees nothing", b, l)
			}
			for _, k := range kept {
				if k < l {
					t.Fatalf("%+v: %s was lost before %s", b, l, k)
				}
			}
		}
	}
}
