package ledger

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// BenchmarkAck takes one standby's report of a crowd and asks what the rule covers, as each reply on a commit's way
// does.
func BenchmarkAck(b *testing.B) {
	for _, n := range []int{5, 50, 500} {
		b.Run(fmt.Sprintf("voters=%d", n), func(b *testing.B) {
			w := newWorld(b, fmt.Sprintf("ANY %d (*)", n/2+1), "a")
			for i := range n {
				w.attach("a", fmt.Sprint("s", i))
			}
			l, keys := w.nodes["a"], make([]uint64, n)
			for i := range keys {
				keys[i] = w.keys[fmt.Sprint("a/s", i)]
			}
			var lim Evaluation
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := lsn.LSN(1000 + 8*(i/n))
				l.Ack(w.now, Ack{
					At: w.now, Incarnation: keys[i%n], Timeline: 1, Received: at, Sent: at, Streaming: true,
					Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, Bytes: lsn.Print{Timeline: 1, LSN: at, Sum: uint64(at)},
				})
				l.Evaluate(&lim, w.now, system, 1)
			}
			if lim.Flush < 1000 {
				b.Errorf("%s is covered", lim.Flush)
			}
		})
	}
}
