package quorum

import (
	"errors"
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

var sites = map[string]string{"a": "east", "b": "east", "c": "west", "p": "west"}

func ruleFrom(t testing.TB, names, spread string) Rule {
	t.Helper()
	return Rule{Names: rule(t, names), Spread: rule(t, spread), Zones: sites}
}

func TestSpread(t *testing.T) {
	const all = "a 90 80 70; b 60 50 40; c 30 20 10; x 99 99 99"
	for _, c := range []struct{ names, spread, voters, want string }{
		{"ANY 2 (*)", "", all, "90 80 70"},
		{"ANY 2 (*)", "ANY 2 (*)", all, "30 20 10"}, // x is in no zone
		{"ANY 2 (a, b)", "ANY 2 (*)", all, "none"},
		{"ANY 1 (*)", "ANY 1 (WEST)", all, "30 20 10"},
		{"ANY 1 (a, b)", "ANY 1 (west)", all, "none"}, // c is not named
		{"ANY 2 (*)", "2 (east, west)", all, "30 20 10"},
		{"FIRST 1 (a, c)", "ANY 1 (west)", all, "30 20 10"},
		{"ANY 1 (*)", "ANY 1 (west)", "a 9 9 9; c 30 20 10 catchup", "none"},
		{"ANY 3 (*)", "ANY 1 (east)", "a 9 9 9; b 8 8 8", "none"},
	} {
		d := ruleFrom(t, c.names, c.spread)
		if err := d.Check(); err != nil {
			t.Errorf("%q with %q: %v", c.names, c.spread, err)
		}
		vs := voters(t, c.voters)
		res := d.Evaluate(vs)
		got := "none"
		if res.Satisfied {
			got = fmt.Sprintf("%d %d %d", uint64(res.Positions.Write), uint64(res.Positions.Flush), uint64(res.Positions.Apply))
			if !d.Covers(vs, res.Positions) {
				t.Errorf("%q with %q: Holds denies %s", c.names, c.spread, got)
			}
			res.Positions.Flush++
			if d.Covers(vs, res.Positions) {
				t.Errorf("%q with %q: Holds agrees to more than %s", c.names, c.spread, got)
			}
		}
		if got != c.want {
			t.Errorf("%q with %q over %q: %s, want %s", c.names, c.spread, c.voters, got, c.want)
		}
	}
}

func TestUnusableSpread(t *testing.T) {
	for _, c := range []struct{ names, spread string }{
		{"", "ANY 1 (west)"},
		{"ANY 1 (*)", "FIRST 1 (east, west)"},
		{"ANY 1 (*)", "ANY 1 (north)"},
	} {
		if err := ruleFrom(t, c.names, c.spread).Check(); !errors.Is(err, ErrSpread) {
			t.Errorf("%q with %q: %v", c.names, c.spread, err)
		}
	}
}

// TestStoresAreNamed: the wildcard matches standbys only (ruling R21).
func TestStoresAreNamed(t *testing.T) {
	store := Voter{Name: "p", Store: true}
	for text, want := range map[string]int{
		"*": 0, "p": 1, "ANY 1 (*)": 0, "ANY 2 (a, P)": 1, "FIRST 1 (*, p)": 2, "FIRST 2 (a, b)": 0, `FIRST 1 ("*", a, p)`: 3,
	} {
		if got := Priority(rule(t, text), store); got != want {
			t.Errorf("%s gives a store priority %d, want %d", text, got, want)
		}
	}
}

func TestSatisfiable(t *testing.T) {
	some := func(names ...string) (vs []Voter) {
		for i, n := range names {
			vs = append(vs, Voter{Name: n, ID: uint64(i), Store: n == "p"})
		}
		return vs
	}
	for _, c := range []struct {
		names, spread string
		voters        []Voter
		want          bool
	}{
		{"ANY 2 (a, b, c)", "", some("a"), false},
		{"ANY 2 (a, b, c)", "", some("a", "c"), true},
		{"ANY 2 (a, b, c)", "ANY 2 (*)", some("a", "b"), false},
		{"FIRST 1 (a, b)", "", some("b"), true}, // a may have been away
		{"ANY 1 (*)", "", some("p"), false},
		{"", "", nil, true},
	} {
		if got := ruleFrom(t, c.names, c.spread).Satisfiable(c.voters); got != c.want {
			t.Errorf("%q with %q by %+v: %v", c.names, c.spread, c.voters, got)
		}
	}
	if (Rule{Names: syncrep.Rule{}}).Satisfiable(nil) != true {
		t.Error("an empty rule is satisfied by nobody")
	}
}
