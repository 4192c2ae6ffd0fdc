package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// BenchmarkCommit measures the quorum's part of one commit. Each voter says that it has the WAL, and a majority is
// waited for.
func BenchmarkCommit(b *testing.B) {
	for _, voters := range []int{3, 5, 50, 500} {
		b.Run(fmt.Sprint(voters), func(b *testing.B) {
			var names []string
			for i := range voters {
				names = append(names, fmt.Sprintf("s%d", i))
			}
			store := newFakeStore(1)
			n, err := New(Options{Name: "proxy", Store: store, Rule: vote.RuleText{
				Names: fmt.Sprintf("ANY %d (%s)", voters/2+1, strings.Join(names, ", ")),
			}})
			if err != nil {
				b.Fatal(err)
			}
			n.establishing = false // a rule that has been in use
			var covered lsn.Progress
			n.OnReport(func() { covered, _ = n.Reportable() })
			ids := make([]uint64, voters)
			for i, name := range names {
				ids[i] = n.Attach(name)
			}
			b.ReportAllocs()
			end := lsn.LSN(1)
			for b.Loop() {
				end += 100
				store.move(1, end)
				n.StoreMoved()
				now := time.Now()
				for _, id := range ids {
					n.Ack(ledger.Ack{
						Incarnation: id, Timeline: 1, Sent: end, At: now, Streaming: true,
						Progress: lsn.Progress{Write: end, Flush: end, Apply: end},
					})
				}
				if covered.Flush != end {
					b.Fatalf("covered %v, want %v", covered, end)
				}
			}
		})
	}
}
