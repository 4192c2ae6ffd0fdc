package syncrep_test

import (
	"reflect"
	"testing"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// leastValues is the smallest corpus that issue 2 accepts.
const leastValues = 150

func readTexts(t testing.TB) []string {
	t.Helper()
	texts, err := corpus.Texts("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestGolden holds the parser against what servers of every major answered to ALTER SYSTEM SET.
func TestGolden(t *testing.T) {
	texts := readTexts(t)
	golden, err := corpus.ReadGolden("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < leastValues || len(golden) != len(texts) {
		t.Errorf("%d values, %d recorded, want at least %d of both", len(texts), len(golden), leastValues)
	}
	outcomes := map[string]int{}
	for _, text := range texts {
		if len(golden[text]) < 5 {
			t.Errorf("%q: recorded of %d versions only", text, len(golden[text]))
		}
		for v, want := range golden[text] {
			outcomes[want]++
			if got := corpus.Rule(text); got != want {
				t.Errorf("%s %q:\n got  %s\n want %s", v, text, got, want)
			}
		}
	}
	if outcomes[corpus.Accepted] < 300 || len(outcomes) < 50 {
		t.Errorf("%d accepted, %d different outcomes: the corpus tells nothing apart",
			outcomes[corpus.Accepted], len(outcomes))
	}
}

func TestRules(t *testing.T) {
	rule := func(m syncrep.Method, n int32, names ...string) syncrep.Rule {
		return syncrep.Rule{Method: m, Count: n, Names: names}
	}
	for _, c := range []struct {
		text   string
		want   syncrep.Rule
		render string
	}{
		{"", syncrep.Rule{}, ""},
		{"s1", rule(syncrep.First, 1, "s1"), "FIRST 1 (s1)"},
		{"S1 , *", rule(syncrep.First, 1, "S1", "*"), "FIRST 1 (S1, *)"},
		{`"*"`, rule(syncrep.First, 1, "*"), "FIRST 1 (*)"},
		{"2, 3", rule(syncrep.First, 1, "2", "3"), "FIRST 1 (2, 3)"},
		{"2 (3)", rule(syncrep.First, 2, "3"), "FIRST 2 (3)"},
		{"aNy 2 (a, b)", rule(syncrep.Any, 2, "a", "b"), "ANY 2 (a, b)"},
		{"first 3 (a)", rule(syncrep.First, 3, "a"), "FIRST 3 (a)"},
		{"ANY 99999999999 (a)", rule(syncrep.Any, 1215752191, "a"), "ANY 1215752191 (a)"},
		{`"Any", "first", "a-b", "a""b", ""`, rule(syncrep.First, 1, "Any", "first", "a-b", `a"b`, ""),
			`FIRST 1 ("Any", "first", "a-b", "a""b", "")`},
		{"\vs1\v", rule(syncrep.First, 1, "s1"), "FIRST 1 (s1)"},
		{"s1\x00 ignored", rule(syncrep.First, 1, "s1"), "FIRST 1 (s1)"},
	} {
		got, err := syncrep.Parse(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %#v, %v", c.text, got, err)
		}
		if got.String() != c.render || got.Empty() != (c.render == "") {
			t.Errorf("%q: rendered %q, want %q", c.text, got, c.render)
		}
	}
}

func TestErrors(t *testing.T) {
	const invalid = `invalid value for parameter "synchronous_standby_names": `
	for _, c := range []struct {
		text    string
		code    pgerror.Code
		message string
		detail  string
	}{
		{"a-b", pgerror.SyntaxError, invalid + `"a-b"`, `syntax error at or near "-"`},
		{"a,", pgerror.SyntaxError, invalid + `"a,"`, "syntax error at end of input"},
		{`a "b c"`, pgerror.SyntaxError, invalid + `"a "b c""`, `syntax error at or near """`},
		{`a, "b`, pgerror.SyntaxError, invalid + `"a, "b"`, "unterminated quoted identifier at end of input"},
		{" ", pgerror.SyntaxError, invalid + `" "`, "syntax error at end of input"},
		{"0 (a)", pgerror.InvalidParameterValue, "number of synchronous standbys (0) must be greater than zero", ""},
		{"ANY 9999999999999999999 (a)", pgerror.InvalidParameterValue,
			"number of synchronous standbys (-1) must be greater than zero", ""},
	} {
		_, err := syncrep.Parse(c.text)
		got := pgerror.From(err)
		if got == nil || got.Code != c.code || got.Message != c.message || got.Detail != c.detail {
			t.Errorf("%q: %#v", c.text, got)
		}
	}
}

func TestPriority(t *testing.T) {
	for _, c := range []struct {
		rule, name string
		want       int
	}{
		{"", "a", 0},
		{"a, b", "b", 2},
		{"a, b", "B", 2},
		{"A, b", "a", 1},
		{"a, b", "c", 0},
		{"a, *", "c", 2},
		{"a, *, c", "c", 2}, // the first match counts
		{"ANY 2 (a, b)", "b", 1},
		{"ANY 2 (a, b)", "c", 0},
		{`"*"`, "anything", 1},
		{`""`, "", 1},
		{"é", "É", 0}, // only ASCII letters have case
		{"ab", "a", 0},
	} {
		r, err := syncrep.Parse(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Priority(c.name); got != c.want {
			t.Errorf("%q in %q: %d, want %d", c.name, c.rule, got, c.want)
		}
	}
}

// FuzzSyncrep: no panic, errors in PostgreSQL's form, render∘parse is the identity.
func FuzzSyncrep(f *testing.F) {
	f.Add("")
	for _, text := range readTexts(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := syncrep.Parse(text)
		if err != nil {
			if e := pgerror.From(err); e.Code == pgerror.InternalError || !r.Empty() {
				t.Errorf("%q: %#v, %v", text, r, err)
			}
			return
		}
		if r.Count <= 0 && !r.Empty() || len(r.Names) > len(text) {
			t.Errorf("%q: %#v", text, r)
		}
		again, err := syncrep.Parse(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q rendered %q:\n first  %#v\n second %#v, %v", text, r, r, again, err)
		}
		for _, n := range r.Names {
			if r.Priority(n) == 0 {
				t.Errorf("%q does not match its own name %q", r, n)
			}
		}
	})
}
