package walstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// across says how WAL goes over a segment boundary.
func across() map[string]func(g *walstoretest.Generator, boundary lsn.LSN) {
	before := func(n lsn.LSN, last func(*walstoretest.Generator)) func(*walstoretest.Generator, lsn.LSN) {
		return func(g *walstoretest.Generator, boundary lsn.LSN) {
			for boundary-g.End() > n {
				g.Record(100)
			}
			last(g)
		}
	}
	return map[string]func(*walstoretest.Generator, lsn.LSN){
		"a switch":             before(20*lsn.PageSize, func(g *walstoretest.Generator) { g.Switch() }),
		"a switch at the end":  before(1000, func(g *walstoretest.Generator) { g.Switch() }),
		"a record":             before(1000, func(g *walstoretest.Generator) { g.Record(3000) }),
		"a record's header":    before(136, func(g *walstoretest.Generator) { g.Record(3000) }),
		"a long record":        before(9*lsn.PageSize, func(g *walstoretest.Generator) { g.Record(continuityMost / 2) }),
		"a very long record":   before(9*lsn.PageSize, func(g *walstoretest.Generator) { g.Record(3 * continuityMost) }),
		"an abandoned record":  before(1000, func(g *walstoretest.Generator) { g.Broken(1) }),
		"a record of segments": before(5*lsn.PageSize, func(g *walstoretest.Generator) { g.Record(2*int(testSeg) + 100) }),
	}
}

// A stream that goes on at a segment boundary where nothing is sent again is taken when it is the same server's,
// whatever lies across the boundary. It is refused when another record leads there.
func TestContinuity(t *testing.T) {
	for name, cross := range across() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				rnd := rand.New(rand.NewPCG(seed, 11))
				base := newGen()
				base.Fill(base.Start()+2<<18, rnd)
				fork := base.End()
				ours, rival := base.Fork(fork, 2), base.Fork(fork, 2)
				boundary := testSeg.Floor(fork) + 2*lsn.LSN(testSeg)
				rival.Record(10 + int(seed)*8) // so that what follows lies elsewhere
				for _, g := range []*walstoretest.Generator{ours, rival} {
					cross(g, boundary)
					g.Fill(boundary+lsn.LSN(testSeg), rnd)
				}
				for _, next := range []*walstoretest.Generator{ours, rival} {
					s := openMem(t, vfs.NewMem())
					if err := s.Adopt(identityOf(ours)); err != nil {
						t.Fatal(err)
					}
					putHistory(t, s, ours)
					start(t, s, 2, ours.Start())
					sendUpTo(t, s, ours, boundary)
					start(t, s, 2, boundary)
					err := goOn(s, next, boundary, rnd)
					if next == ours && err != nil {
						t.Errorf("seed %d: the same server's: %v", seed, err)
					}
					if next == rival && !errors.Is(err, ErrDiverged) {
						t.Errorf("seed %d: the rival's: %v", seed, err)
					}
					if got := s.Positions().Received; next == rival && got > boundary+continuityMost {
						t.Errorf("seed %d: %s of the rival's was taken", seed, got)
					}
				}
			}
		})
	}
}

// goOn streams from at on in pieces of random size, a few MB.
func goOn(s *Store, g *walstoretest.Generator, at lsn.LSN, rnd *rand.Rand) error {
	for _, m := range g.Messages(at, rnd) {
		if err := s.AppendFrom(context.Background(), m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
			return err
		}
		for more, err := s.writeStep(); more || err != nil; more, err = s.writeStep() {
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
	}
	return nil
}

// Without what lies before it there is nothing to compare, and a stream begins as it always did.
func TestContinuityOfNothing(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+3*lsn.LSN(testSeg), rand.New(rand.NewPCG(1, 1)))
	g.Record(100) // or it may end with a segment
	s := openMem(t, vfs.NewMem())
	begin(t, s, g)
	if s.in.continuity != nil {
		t.Error("an empty store compares")
	}
	send(t, s, g, g.Start())
	start(t, s, g.Timeline(), testSeg.Floor(g.End())) // what is sent again is compared as bytes
	if s.in.continuity != nil {
		t.Error("both bytes and records are compared")
	}
}
