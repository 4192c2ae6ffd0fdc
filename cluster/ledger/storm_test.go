package ledger

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestAckCost: what an ack costs does not grow with the sessions of other names, so that a storm of them from one
// standby takes no more where there are many. The limit is far from both: what grew with the number took a hundred times as long.
func TestAckCost(t *testing.T) {
	cost := func(sessions int) int64 {
		w := newWorld(t, "1 (s1)", "a")
		l := w.nodes["a"]
		for i := range sessions {
			if err := l.Attach(w.now, uint64(1000+i), vote.Standby, fmt.Sprintf("s%d", i+1), system); err != nil {
				t.Fatal(err)
			}
		}
		return testing.Benchmark(func(b *testing.B) {
			for i := range b.N {
				at := lsn.LSN(i + 1)
				l.Ack(w.now, Ack{Incarnation: 1000, Timeline: 1, Sent: at, Received: at, Progress: lsn.Progress{Write: at}})
			}
		}).NsPerOp()
	}
	few, many := cost(2), cost(vote.MaxSessions)
	if many > 20*few {
		t.Errorf("an ack takes %d ns beside one session, %d ns beside %d", few, many, vote.MaxSessions-1)
	}
}
