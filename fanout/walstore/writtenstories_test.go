package walstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestWrittenStories plays many lives of a store that reports what is written, cut anywhere: all that was reported is
// there after a start, or owed. After the end of the process alone nothing is.
func TestWrittenStories(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 40
	}
	owed, whole := 0, 0
	for seed := range seeds {
		tellWritten(t, seed, &owed, &whole)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if owed < int(seeds)/10 || whole < int(seeds)/10 {
		t.Errorf("%d starts owed, %d did not: this proves little", owed, whole)
	}
}

func tellWritten(t *testing.T, seed uint64, owed, whole *int) {
	rnd := rand.New(rand.NewPCG(seed, 42))
	g, m := newGen(), vfs.NewMem()
	var told, complete lsn.LSN // what was reported, and the end of the last whole record in it
	var story []string
	debt := false // something is owed since an earlier life
	for life := range 4 {
		fault, calls := vfs.NewFault(m), -1
		if rnd.IntN(2) == 0 && life > 0 {
			calls = rnd.IntN(60)
		}
		fault.Set(func(op vfs.Op, _ string) error {
			if calls == 0 {
				return errCut
			}
			if calls > 0 {
				calls--
			}
			return nil
		})
		s, err := Open(context.Background(), Options{Dir: "/data", FS: fault, TailSize: MinTailSize, KeepSize: 1 << 40})
		if err == nil {
			p := s.Positions()
			r, owes := s.Repairing()
			story = append(story, fmt.Sprintf("life %d ends at %s, owes %s, told %s", life, p.Received, r.To, told))
			if max(p.Received, r.To) < complete || debt && !owes && p.Received < complete {
				t.Errorf("told %s, a record ends at %s: the store ends at %s and owes %s; %s",
					told, complete, p.Received, r.To, strings.Join(story, "; "))
			}
			if owes {
				*owed++
			} else {
				*whole++
			}
			debt = owes
			live(t, rnd, s, g, &told, &complete, func() bool { return calls == 0 })
		}
		if err != nil && calls != 0 {
			t.Fatalf("Open: %v; %s", err, strings.Join(story, "; "))
		}
		cut := calls == 0
		end := rnd.IntN(3)
		if s != nil && end == 0 && !cut {
			stopped, stop := context.WithCancel(context.Background())
			stop()
			err := s.Run(stopped)
			if err != nil && calls != 0 {
				t.Fatal(err)
			}
			story = append(story, fmt.Sprint("clean stop: ", err))
		}
		fault.Set(nil)
		if power := end == 2; power {
			m = m.Crash(rnd)
			story = append(story, "power loss")
		} else {
			m = m.Kill()
			story = append(story, "kill -9")
		}
	}
}

// live runs one life of a store.
func live(
	t *testing.T, rnd *rand.Rand, s *Store, g *walstoretest.Generator, told, complete *lsn.LSN, cut func() bool,
) {
	must := func(err error) bool {
		if err != nil && !cut() && !errors.Is(err, ErrOwing) {
			t.Error(err)
		}
		return err == nil
	}
	at := g.Start()
	if p := s.Positions(); p.Timeline == 0 {
		if !must(s.Adopt(identityOf(g))) {
			return
		}
	} else {
		at = testSeg.Floor(p.Received)
	}
	if !must(s.StartStream(1, at)) {
		return
	}
	if rnd.IntN(2) == 0 {
		must(s.PrimaryHas(g.End()))
	}
	for _, msg := range g.Messages(at, nil) {
		if !must(s.AppendFrom(context.Background(), msg.At, strings.NewReader(string(msg.Data)), len(msg.Data))) {
			return
		}
		for more, err := s.writeStep(); more || err != nil; more, err = s.writeStep() {
			if !must(err) {
				return
			}
		}
	}
	must(s.SetPromised(PromisedAll))
	must(s.ReportWritten())
	for range rnd.IntN(40) {
		if cut() || t.Failed() {
			return
		}
		switch rnd.IntN(8) {
		case 0, 1:
			from := s.Positions().Received
			if g.Record(1 + rnd.IntN(30000)); rnd.IntN(4) == 0 {
				g.Broken(1 + rnd.IntN(3))
				g.Record(1 + rnd.IntN(3000))
			}
			for _, msg := range g.Messages(from, nil) {
				must(s.AppendFrom(context.Background(), msg.At, strings.NewReader(string(msg.Data)), len(msg.Data)))
			}
		case 2:
			_, err := s.writeStep()
			must(err)
		case 3:
			_, err := s.syncStep()
			must(err)
		case 4:
			_, err := s.markStep()
			must(err)
		case 5:
			_, err := s.aheadStep()
			must(err)
		case 6:
			if must(s.SetPromised(max(*told, s.Positions().Flushed))) { // reports stand still
				must(s.SetPromised(PromisedAll))
			}
		default: // as the receiver does it: on a connection that is new it begins below what was reported on the last one
			p := s.Positions()
			at := p.Reportable
			if rnd.IntN(2) == 0 && at > p.Flushed {
				at -= lsn.LSN(rnd.Uint64N(uint64(at - p.Flushed)))
			}
			if s.Promised().At == PromisedAll && must(s.Reporting(at)) && at > *told {
				*told = at
				if end, err := s.LastComplete(1, *told); must(err) {
					*complete = end
				}
			}
		}
	}
}
