package walsource

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestGivenUpBelowTwoForks: a store was emptied that had reported WAL of timeline 3. The server that was promoted to
// timeline 4 lacks the end of that, which the operator gives up. The store begins anew below two forks or more. It
// follows that server all the way on the one word, also after a restart, and goes on asking for what was not given up.
func TestGivenUpBelowTwoForks(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		for begins := lsn.TimelineID(1); begins <= 4; begins++ {
			t.Run(fmt.Sprintf("restarts %t from %s", restarts, begins), func(t *testing.T) {
				t.Parallel()
				x := newBegunBelow(t, func(end lsn.LSN) lsn.LSN { return end })
				three := x.wal[3].Records()
				fork := three[len(three)-10].End
				four := x.wal[3].Fork(fork, 4)
				four.Fill(four.End()+1500<<10, rand.New(rand.NewPCG(4, 1)))
				wrong := x.wal[3].Fork(x.wal[2].End(), 5)
				wrong.Fill(x.wal[3].End()+100_000, rand.New(rand.NewPCG(5, 1)))
				x.wal[4], x.right = four, x.primary(four)
				if x.refusal(x.right) == nil {
					t.Fatal("a server is followed that lacks what was reported")
				}
				word := &wordOf{}
				word.say(4)
				x.o.Accept = word
				if err := x.refusal(x.right); err != nil {
					t.Fatal(err)
				}
				for tli := begins; tli <= 4; tli++ {
					if x.take(tli); restarts {
						x.restart(false)
					}
					if err := x.refusal(x.right); err != nil {
						t.Errorf("with timeline %s the server is refused that was accepted: %v", tli, err)
					}
					if x.refusal(x.primary(wrong)) == nil {
						t.Errorf("with timeline %s a server is followed that lacks what was not given up", tli)
					}
				}
				if word.of != 3 || word.from != fork {
					t.Errorf("given up is WAL of timeline %s from %s on", word.of, word.from)
				}
			})
		}
	}
}
