package quorum

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// BenchmarkEvaluate finds the position that a majority of so many voters covers.
func BenchmarkEvaluate(b *testing.B) {
	for _, method := range []string{"ANY", "FIRST"} {
		for _, n := range []int{5, 50, 500} {
			b.Run(fmt.Sprintf("%s/voters=%d", method, n), func(b *testing.B) {
				r := rule(b, fmt.Sprintf("%s %d (*)", method, n/2+1))
				all := make([]Voter, n)
				for i := range all {
					at := lsn.LSN(1000 + 37*i%n)
					all[i] = Voter{Name: fmt.Sprint("s", i), ID: uint64(i), Streaming: true,
						Positions: lsn.Progress{Write: at, Flush: at, Apply: at}}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					p := &all[i%n].Positions
					p.Write, p.Flush, p.Apply = p.Write+100, p.Flush+100, p.Apply+100
					if !Evaluate(r, all).Satisfied {
						b.Fatal("nothing is covered")
					}
				}
			})
		}
	}
}
