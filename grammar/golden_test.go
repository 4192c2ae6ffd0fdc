package grammar_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/grammar"
)

// The smallest corpus that issue 2 accepts.
const leastCommands = 400

// TestGolden holds the parser against what servers of every major said (recorded by
// conformance/relay/grammar_test.go, which also asks them again).
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		dir      string
		database bool
		least    int
	}{
		{"testdata", false, leastCommands},
		{"testdata/database", true, 40},
	} {
		texts := readTexts(t, c.dir)
		if len(texts) < c.least {
			t.Errorf("%s: %d commands, want at least %d", c.dir, len(texts), c.least)
		}
		golden, err := corpus.ReadGolden(c.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(golden) != len(texts) {
			t.Errorf("%s: %d texts are recorded, the corpus has %d: run conformance with -update",
				c.dir, len(golden), len(texts))
		}
		for _, text := range texts {
			checkMajors(t, text, golden[text])
			for v, want := range golden[text] {
				got := corpus.Command(grammar.Dialect{Version: v, Database: c.database}, text)
				if want != corpus.Build && got != want {
					t.Errorf("%s: %s\n  got  %s\n  want %s", v, corpus.Escape(text), got, want)
				}
			}
		}
	}
}

// checkMajors fails unless every supported major was asked.
func checkMajors(t *testing.T, text string, byVersion map[grammar.Version]string) {
	t.Helper()
	majors := map[int]bool{}
	for v := range byVersion {
		majors[v.Major()] = true
	}
	if got := slices.Sorted(maps.Keys(majors)); !slices.Equal(got, []int{14, 15, 16, 17, 18}) {
		t.Errorf("%s: recorded of majors %v only", corpus.Escape(text), got)
	}
}

func readTexts(t testing.TB, dir string) []string {
	t.Helper()
	texts, err := corpus.Texts(dir)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestGoldenIsAlive guards against a corpus that no longer distinguishes anything.
func TestGoldenIsAlive(t *testing.T) {
	golden, err := corpus.ReadGolden("testdata")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, byVersion := range golden {
		for _, outcome := range byVersion {
			for _, part := range strings.Split(outcome, " | ") {
				kind := strings.Join(strings.Fields(part)[:min(2, len(strings.Fields(part)))], " ")
				kinds[kind]++
			}
		}
	}
	for kind, least := range map[string]int{
		"accepted": 600, "error 42601": 1500, "error 0A000": 100, "error XX000": 100, "error 22023": 10,
		"error 22003": 30, "error 42602": 50, "notice 42622": 100,
	} {
		if kinds[kind] < least {
			t.Errorf("%d outcomes of kind %q, want at least %d", kinds[kind], kind, least)
		}
	}
}
