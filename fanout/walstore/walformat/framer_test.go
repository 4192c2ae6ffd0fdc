package walformat_test

import (
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// pass gives f the WAL [from, to) of g in pieces of random size, and says up to where it was WAL.
func pass(f *walformat.Framer, g *walstoretest.Generator, from, to lsn.LSN, rnd *rand.Rand) {
	for at := from; at < to; {
		n := min(to-at, at.PageStart()+lsn.PageSize-at, 1+lsn.LSN(rnd.IntN(lsn.PageSize)))
		f.Take(at, g.Bytes(at, at+n))
		at += n
	}
}

// lastComplete returns the position that a Framer must find in g's WAL up to at.
func lastComplete(g *walstoretest.Generator, at lsn.LSN) lsn.LSN {
	end := lsn.Invalid
	for _, r := range g.Records() {
		if r.End > at {
			break
		}
		end = r.End
		size := g.Source.SegSize
		if next := size.Floor(r.End) + lsn.LSN(size); r.IsSwitch() && !size.IsStart(r.End) && next <= at {
			end = next
		}
	}
	return end
}

func fillWAL(seed uint64) (*walstoretest.Generator, *rand.Rand) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	g := walstoretest.New(walstoretest.Config{SegSize: lsn.MinSegSize, Major: 14 + int(seed%5)})
	g.Fill(g.Start()+3<<20, rnd)
	g.Record(40_000)
	g.Broken(1)
	g.Broken(2)
	g.Switch()
	g.Record(100)
	return g, rnd
}

// TestFramerKnowsTheLastRecord hands over WAL in pieces of any size and compares with the records that were made, from
// the first byte on and from a page in the middle.
func TestFramerKnowsTheLastRecord(t *testing.T) {
	for seed := range uint64(20) {
		g, rnd := fillWAL(seed)
		f := walformat.Framer{Source: g.Source}
		for at := g.Start(); at < g.End(); {
			to := min(g.End(), at+1+lsn.LSN(rnd.IntN(30_000)))
			pass(&f, g, at, to, rnd)
			if want := lastComplete(g, to); f.Complete() != max(want, g.Start()) {
				t.Fatalf("seed %d, fed up to %s: the last record ends at %s, want %s", seed, to, f.Complete(), want)
			}
			if f.Lost() {
				t.Fatalf("seed %d: lost at %s", seed, to)
			}
			at = to
		}
		for range 200 {
			from := (g.Start() + lsn.LSN(rnd.Uint64N(uint64(g.End()-g.Start())))).PageStart()
			to := from + lsn.LSN(rnd.Uint64N(uint64(min(g.End()-from, 100_000))+1))
			f := walformat.Framer{Source: g.Source}
			pass(&f, g, from, to, rnd)
			if got := f.Complete(); !f.Lost() && got != lsn.Invalid && got != lastComplete(g, to) && got != from {
				t.Fatalf("seed %d, from %s to %s: the last record ends at %s, want %s", seed, from, to, got,
					lastComplete(g, to))
			}
		}
	}
}

// TestFramerEndsWALAtASwitch: whatever lies behind an XLOG_SWITCH in its segment is not WAL.
func TestFramerEndsWALAtASwitch(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		g := walstoretest.New(walstoretest.Config{SegSize: lsn.MinSegSize})
		for range rnd.IntN(300) {
			g.Record(rnd.IntN(2000))
		}
		end := g.Switch().End
		segEnd := g.End()
		after := g.Record(100).End
		f := walformat.Framer{Source: g.Source}
		garbage := make([]byte, lsn.PageSize)
		for at := g.Start(); at < g.End(); {
			n := min(g.End()-at, at.PageStart()+lsn.PageSize-at, 1+lsn.LSN(rnd.IntN(lsn.PageSize)))
			b := append([]byte(nil), g.Bytes(at, at+n)...)
			for i := range b {
				if p := at + lsn.LSN(i); p >= end && p < segEnd {
					b[i] = byte(rnd.Uint32())
				}
			}
			want := int(n)
			if at+n > end && at < segEnd {
				want = int(max(end, at) - at)
			}
			if got := f.Take(at, b); got != want {
				t.Fatalf("seed %d: %d of %d bytes at %s are WAL, want %d (switch ends at %s)", seed, got, n, at, want, end)
			}
			at += n
			if at >= end && at < segEnd && (!f.Switched() || f.Complete() != end) {
				t.Fatalf("seed %d: at %s behind a switch: %v, the last record ends at %s, want %s", seed, at,
					f.Switched(), f.Complete(), end)
			}
		}
		if f.Complete() != after {
			t.Fatalf("seed %d: the last record ends at %s, want %s", seed, f.Complete(), after)
		}
		f = walformat.Framer{Source: g.Source}
		f.Take(g.Start(), garbage)
		if !f.Lost() || f.Complete() != g.Start()+lsn.PageSize {
			t.Fatalf("zeros are taken for records: %+v", f)
		}
	}
}

// FuzzFramer: whatever it takes, the Framer goes on, says nothing that it did not take, and never goes back.
func FuzzFramer(f *testing.F) {
	g, _ := fillWAL(1)
	wal := g.Bytes(g.Start(), g.End())
	f.Add(uint32(0), []byte{}, uint16(100))
	f.Add(uint32(100), []byte{1, 2, 3}, uint16(8192))
	f.Add(uint32(8192), []byte{0xD1, 0x10, 8}, uint16(7))
	f.Add(uint32(40), []byte{0xff, 0xff, 0xff, 0x7f}, uint16(24))
	f.Fuzz(func(t *testing.T, at uint32, change []byte, piece uint16) {
		b := append([]byte(nil), wal...)
		copy(b[int(at)%len(b):], change)
		fr := walformat.Framer{Source: g.Source}
		var before lsn.LSN
		for p := g.Start(); p < g.End(); {
			n := min(g.End()-p, p.PageStart()+lsn.PageSize-p, max(1, lsn.LSN(piece)))
			got := fr.Take(p, b[p-g.Start():p-g.Start()+n])
			p += n
			if c := fr.Complete(); got < 0 || lsn.LSN(got) > n || c > p || c < before {
				t.Fatalf("fed up to %s: %d of %d are WAL, the last record ends at %s, before at %s", p, got, n, c, before)
			}
			before = fr.Complete()
		}
	})
}

// BenchmarkFramer is the cost of following small records.
func BenchmarkFramer(b *testing.B) {
	g := walstoretest.New(walstoretest.Config{})
	for g.End() < g.Start()+1<<20 {
		g.Record(100)
	}
	b.SetBytes(1 << 20)
	for b.Loop() {
		f := walformat.Framer{Source: g.Source}
		for at := g.Start(); at < g.Start()+1<<20; at += lsn.PageSize {
			f.Take(at, g.Bytes(at, at+lsn.PageSize))
		}
	}
}

// TestFramerAllocatesNothing: WAL passes it on its way into the store.
func TestFramerAllocatesNothing(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{})
	for g.End() < g.Start()+1<<20 {
		g.Record(100)
	}
	f := walformat.Framer{Source: g.Source}
	at, wal := g.Start(), g.Bytes(g.Start(), g.Start()+1<<20)
	n := testing.AllocsPerRun(100, func() {
		off := int(at - g.Start())
		f.Take(at, wal[off:off+int(lsn.PageSize)])
		at += lsn.PageSize
	})
	if n != 0 || f.Complete() < g.Start()+90*lsn.PageSize {
		t.Errorf("%v allocations, complete up to %s", n, f.Complete())
	}
}
