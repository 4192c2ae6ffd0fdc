package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestAckCost: what an ack costs does not grow with the sessions of other names, so that a storm of them from one
// standby takes no more where there are many. The times are medians, and far apart: before, they grew with the number.
func TestAckCost(t *testing.T) {
	cost := func(sessions int) time.Duration {
		w := newWorld(t, "1 (s1)", "a")
		l := w.nodes["a"]
		for i := range sessions {
			if err := l.Attach(w.now, uint64(1000+i), vote.Standby, fmt.Sprintf("s%d", i+1), system); err != nil {
				t.Fatal(err)
			}
		}
		var rounds []time.Duration
		for range 21 {
			begun := time.Now()
			for at := lsn.LSN(1); at <= 200; at++ {
				l.Ack(w.now, Ack{Incarnation: 1000, Timeline: 1, Sent: 300, Received: 300, Progress: lsn.Progress{Write: at}})
			}
			rounds = append(rounds, time.Since(begun))
		}
		slices.Sort(rounds)
		return rounds[len(rounds)/2]
	}
	few, many := cost(2), cost(vote.MaxSessions)
	if many > 20*few {
		t.Errorf("200 acks take %s beside one session, %s beside %d", few, many, vote.MaxSessions-1)
	}
}
