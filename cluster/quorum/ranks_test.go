package quorum

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// TestRanks: a rule of many names gives each voter the priority that looking through the names gives.
func TestRanks(t *testing.T) {
	many := func(method syncrep.Method, at int, names ...string) syncrep.Rule {
		r := syncrep.Rule{Method: method, Count: 1}
		for i := range 3 * few {
			if i == at {
				r.Names = append(r.Names, names...)
			}
			r.Names = append(r.Names, fmt.Sprintf("Standby%d", i))
		}
		return r
	}
	var voters []Voter
	names := []string{"standby0", "STANDBY7", "Standby40", "nobody", "*", "Ä\xff", "ä\xff", "Ä\xfe", "É\xff", "standby7 "}
	for _, name := range names {
		voters = append(voters, Voter{Name: name}, Voter{Name: name, Store: true})
	}
	for _, r := range []syncrep.Rule{
		many(syncrep.First, -1), many(syncrep.Any, -1),
		many(syncrep.First, 5, "*"), many(syncrep.Any, 5, "*"), many(syncrep.First, 0, "*"),
		many(syncrep.First, 20, "standby7", "standby40"), many(syncrep.First, 9, "Ä\xff", "nobody", "*", "NOBODY"),
	} {
		ready := ranksOf(r)
		if ready == nil {
			t.Fatal("no ranks of a long rule")
		}
		for _, v := range voters {
			if got, want := ready.of(r, &v), Priority(r, v); got != want {
				t.Errorf("%v: %q, store %v: %d, want %d", r, v.Name, v.Store, got, want)
			}
		}
	}
}
