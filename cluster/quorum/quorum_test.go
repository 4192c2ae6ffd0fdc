package quorum

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

func rule(t testing.TB, text string) syncrep.Rule {
	t.Helper()
	r, err := syncrep.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// voters reads "name write flush apply[ catchup]" lines.
func voters(t testing.TB, text string) []Voter {
	t.Helper()
	var out []Voter
	for i, line := range strings.Split(text, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		v := Voter{Name: f[0], ID: uint64(i), Streaming: len(f) < 5}
		for j, p := range []*lsn.LSN{&v.Positions.Write, &v.Positions.Flush, &v.Positions.Apply} {
			n, err := strconv.Atoi(f[j+1])
			if err != nil {
				t.Fatal(err)
			}
			*p = lsn.LSN(n)
		}
		out = append(out, v)
	}
	return out
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct{ rule, voters, want string }{
		{"", "a 9 9 9", "none of 0"},
		{"a", "a 9 8 7", "9 8 7"},
		{"a", "b 9 8 7", "none of 0"},
		{"A", "a 9 8 7", "9 8 7"},
		{"*", "b 9 8 7", "9 8 7"},
		{"ANY 2 (a, b, c)", "a 90 80 10; b 70 70 70; c 60 60 50", "70 70 50"},
		{"FIRST 2 (a, b, c)", "a 90 80 10; b 70 70 70; c 60 60 50", "70 70 10"},
		{"FIRST 2 (a, b, c)", "c 60 60 50; a 90 80 10", "60 60 10"},
		{"2 (a, b)", "a 90 80 10", "none of 1"},
		{"FIRST 1 (a, b)", "a 50 50 50 catchup; b 40 40 40", "40 40 40"},
		{"FIRST 1 (a, b)", "a 50 0 0; b 40 40 40", "40 40 40"},
		{"ANY 1 (a, b)", "a 90 0 0; b 40 30 20", "40 30 20"},
		{"ANY 2 (*)", "a 10 10 10; a 20 20 20; b 30 30 30", "20 20 20"},
		{"FIRST 1 (a)", "a 10 10 10; a 20 20 20", "10 10 10"},
		{"ANY 1 (b, b)", "b 5 4 3", "5 4 3"},
		{"ANY 257 (*)", "a 9 9 9", "none of 1"},
	} {
		res := Evaluate(rule(t, c.rule), voters(t, c.voters))
		got := fmt.Sprintf("%d %d %d", uint64(res.Positions.Write), uint64(res.Positions.Flush), uint64(res.Positions.Apply))
		if !res.Satisfied {
			got = fmt.Sprintf("none of %d", res.Candidates)
		}
		if got != c.want {
			t.Errorf("%q over %q: %s, want %s", c.rule, c.voters, got, c.want)
		}
	}
}

// TestCovered holds the result to its definition, computed another way. A position is covered when enough candidates
// reached it (ANY), or all of the first ones did (FIRST). It is the largest such position.
func TestCovered(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	rules := []string{"ANY 1 (*)", "ANY 2 (a, b, c)", "ANY 3 (*)", "FIRST 1 (b, *)", "FIRST 2 (c, a, b)", "FIRST 3 (*)"}
	for range 20000 {
		r := rule(t, rules[rng.IntN(len(rules))])
		var vs []Voter
		for i := range rng.IntN(6) {
			p := func() lsn.LSN { return lsn.LSN(rng.IntN(5)) }
			vs = append(vs, Voter{
				Name: names[rng.IntN(len(names))], ID: uint64(i), Streaming: rng.IntN(5) > 0,
				Positions: lsn.Progress{Write: p(), Flush: p(), Apply: p()},
			})
		}
		res := Evaluate(r, vs)
		checkColumn(t, r, vs, res, res.Positions.Write, func(v Voter) lsn.LSN { return v.Positions.Write })
		checkColumn(t, r, vs, res, res.Positions.Flush, func(v Voter) lsn.LSN { return v.Positions.Flush })
		checkColumn(t, r, vs, res, res.Positions.Apply, func(v Voter) lsn.LSN { return v.Positions.Apply })
	}
}

func checkColumn(t *testing.T, r syncrep.Rule, vs []Voter, res Result, got lsn.LSN, col func(Voter) lsn.LSN) {
	t.Helper()
	best, enough := lsn.LSN(0), false
	for at := lsn.LSN(0); at < 6; at++ {
		if ok, any := covers(r, vs, at, col); ok {
			best, enough = at, any
		}
	}
	if enough != res.Satisfied || res.Satisfied && got != best {
		t.Fatalf("%s over %+v: %d (satisfied %v), by definition %d (%v)", r, vs, uint64(got), res.Satisfied, uint64(best), enough)
	}
}

// covers asks the definition: how many candidates reached at, among those that FIRST looks at.
func covers(r syncrep.Rule, vs []Voter, at lsn.LSN, col func(Voter) lsn.LSN) (ok, enough bool) {
	n, reached, seen := int(r.Count), 0, 0
	for rank := 1; rank <= len(r.Names); rank++ {
		for _, name := range []string{"a", "b", "c", "d"} {
			for _, v := range vs {
				p := r.Priority(v.Name)
				if v.Name != name || !v.Streaming || v.Positions.Flush == 0 || p == 0 {
					continue
				}
				if r.Method == syncrep.Any && rank > 1 || r.Method == syncrep.First && (p != rank || seen == n) {
					continue
				}
				if seen++; col(v) >= at {
					reached++
				}
			}
		}
	}
	if r.Method == syncrep.First {
		return seen == n && reached == n, seen == n
	}
	return reached >= n, seen >= n
}

// TestOrderDoesNotMatter: the result is a function of the set.
func TestOrderDoesNotMatter(t *testing.T) {
	vs := voters(t, "a 5 4 3; a 6 5 4; b 9 9 9; c 1 1 1; d 7 7 0")
	for _, text := range []string{"ANY 2 (*)", "FIRST 2 (*)", "FIRST 3 (b, a, *)"} {
		want := Evaluate(rule(t, text), vs)
		for i := range 50 {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			rng.Shuffle(len(vs), func(i, j int) { vs[i], vs[j] = vs[j], vs[i] })
			if got := Evaluate(rule(t, text), vs); got.Positions != want.Positions || got.Candidates != want.Candidates {
				t.Fatalf("%s: %+v after a shuffle, %+v before", text, got, want)
			}
		}
	}
}
