package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestPassedOver: whatever standbys and the store say, in whatever order, what is reportable is what an evaluation of
// all that is known gives, also where a report was passed over. Two sessions of a name are one voter, and a session
// comes to flush, to apply and to stream at some time.
func TestPassedOver(t *testing.T) {
	rules := []vote.RuleText{
		{Names: "ANY 1 (s1, s2, s3)"}, {Names: "ANY 2 (s1, s2, s3, proxy)"}, {Names: "FIRST 1 (s1, s2)"},
		{Names: "FIRST 2 (s3, *)"}, {Names: "ANY 2 (s1, s2, s3)", Spread: "ANY 2 (east, west)", Zones: []vote.Zone{
			{Name: "east", Voters: []string{"s1", "s2"}}, {Name: "west", Voters: []string{"s3"}},
		}},
	}
	passed, looked := 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 0))
		store := newFakeStore(1000)
		n, err := New(Options{Name: "proxy", Rule: rules[seed%uint64(len(rules))], Store: store})
		if err != nil {
			t.Fatal(err)
		}
		n.establishing = seed%10 == 0 // then all is looked at
		reported := 0
		n.OnReport(func() { reported++ })
		ids := []uint64{n.Attach("s1"), n.Attach("s1"), n.Attach("s2"), n.Attach("s3")}
		said := make([]ledger.Ack, len(ids))
		for step := range 120 {
			if rng.IntN(8) == 0 {
				p := store.Positions()
				store.move(p.Timeline+lsn.TimelineID(rng.IntN(20)/19), p.Received+lsn.LSN(rng.IntN(50)))
				n.StoreMoved()
			} else {
				i := rng.IntN(len(ids))
				said[i] = nextReport(rng, said[i], store.Positions())
				said[i].Incarnation = ids[i]
				before := reported
				n.Ack(said[i])
				if n.behind && reported == before {
					passed++
				}
			}
			got, _ := n.Reportable()
			var all ledger.Evaluation
			n.ledger.Evaluate(&all, time.Now(), 7, store.Positions().Timeline)
			if got != n.reportable(all) {
				t.Fatalf("seed %d, step %d: reportable %v, all that is known gives %v", seed, step, got, all.Progress)
			}
			if rng.IntN(10) == 0 {
				looked += len(n.Status().Voters)
				want := fmt.Sprint(all.Rules[0].Voters)
				if got := fmt.Sprint(n.last.Rules[0].Voters); got != want {
					t.Fatalf("seed %d, step %d: voters %s, want %s", seed, step, got, want)
				}
			}
		}
	}
	if passed < 1000 || looked == 0 {
		t.Errorf("%d reports were passed over, %d voters were looked at: this shows nothing", passed, looked)
	}
}

// nextReport returns the next report of a standby that said a.
func nextReport(rng *rand.Rand, a ledger.Ack, p Positions) ledger.Ack {
	if a.Timeline != p.Timeline && rng.IntN(4) == 0 {
		a = ledger.Ack{Timeline: p.Timeline, Streaming: a.Streaming}
	}
	rises := func(at, most lsn.LSN) lsn.LSN {
		if rng.IntN(3) == 0 {
			return at
		}
		return min(at+lsn.LSN(rng.IntN(400)), most)
	}
	if a.Timeline == p.Timeline {
		a.Sent = p.Received
		a.Write = rises(a.Write, a.Sent)
		a.Flush = rises(a.Flush, a.Write)
		a.Apply = rises(a.Apply, a.Flush)
		a.Streaming = a.Streaming != (rng.IntN(30) == 0)
	}
	a.At = time.Now()
	return a
}
