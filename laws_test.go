package replproxy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pages that say what code, documents and configuration cite by number.
const (
	rulings  = "docs/rulings.md"
	facts    = "docs/postgresql.md"
	promises = "ARCHITECTURE.md"
	lastRule = 48
)

var (
	idPattern     = regexp.MustCompile(`<a id="([a-z0-9]+)"></a>`)
	rulingPattern = regexp.MustCompile(`\b[Rr]ulings? ((?:R\d+)(?:(?:,| and) R\d+)*)|\((R\d+(?:, R\d+)*)\)`)
	factPattern   = regexp.MustCompile(`\bfacts? ([A-K]\d*(?:(?:, | and | to )[A-K]\d*)*)(?:[^A-Za-z0-9]|$)`)
	numberPattern = regexp.MustCompile(`[A-Z]\d*`)
	lawPattern    = regexp.MustCompile(`(?m)^- (?:\*\*)?([IG]\d+)\b`)
	citedLaw      = regexp.MustCompile(`\b([IG]\d+)\b`)
	sourceFile    = regexp.MustCompile("`(?:[a-z_]+/)+[\\w-]+\\.[chly]\\b")
	reason        = regexp.MustCompile(`\*Why:\* \S+`)
	heldBy        = regexp.MustCompile(`\*Held by:\* (?:Test\w+|(Not built yet))`)
	elsewhere     = regexp.MustCompile(`\b(?:pg-facts|design|peers|style)\.md\b`)
)

// cited are texts that cite: pages, and comments of Go files.
func cited(t *testing.T) (all []page) {
	t.Helper()
	all = pages(t)
	for _, s := range sources(t) {
		if s.path == "laws_test.go" {
			continue
		}
		for _, group := range s.file.Comments {
			all = append(all, page{s.path, group.Text()})
		}
	}
	return all
}

// laws returns the numbers that a page has, in lower case. pattern finds them there.
func laws(t *testing.T, path string, pattern *regexp.Regexp) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, m := range pattern.FindAllStringSubmatch(read(t, path), -1) {
		id := strings.ToLower(m[1])
		if known[id] {
			t.Errorf("%s: %s is there twice", path, id)
		}
		known[id] = true
	}
	return known
}

// checkReasons fails unless each ruling says why it holds and which tests hold it. That they exist is held by
// TestPagesNameWhatIs.
func checkReasons(t *testing.T) {
	t.Helper()
	for _, section := range strings.Split(read(t, rulings), "\n### ")[1:] {
		name, _, _ := strings.Cut(section, " ")
		if !reason.MatchString(section) {
			t.Errorf("%s: %s has no *Why:*", rulings, name)
		}
		if held := heldBy.FindStringSubmatch(section); held == nil || held[1] != "" {
			t.Errorf("%s: %s has no *Held by:* that names a test", rulings, name)
		}
	}
}

// TestLaws: what is cited by a number stands on the page of its kind. Every ruling of the page is there once, with a
// reason and tests. A fact and an invariant may have the same letter.
func TestLaws(t *testing.T) {
	checkReasons(t)
	ruled := laws(t, rulings, idPattern)
	for n := 1; n <= lastRule; n++ {
		if id := "r" + strconv.Itoa(n); !ruled[id] {
			t.Errorf("%s has no %s", rulings, id)
		}
	}
	kinds := []struct {
		page    string
		cites   *regexp.Regexp
		known   map[string]bool
		seen    int
		atLeast int
	}{
		{page: rulings, cites: rulingPattern, known: ruled, atLeast: 200},
		{page: facts, cites: factPattern, known: laws(t, facts, idPattern), atLeast: 60},
		{page: promises, cites: citedLaw, known: laws(t, promises, lawPattern), atLeast: 15},
	}
	for _, p := range cited(t) {
		text := strings.Join(strings.Fields(p.text), " ")
		for i := range kinds {
			k := &kinds[i]
			if k.page == promises && p.path == facts {
				continue // its own titles
			}
			if k.page == promises {
				text = factPattern.ReplaceAllString(text, "")
			}
			for _, m := range k.cites.FindAllStringSubmatch(text, -1) {
				for _, name := range numberPattern.FindAllString(strings.Join(m[1:], " "), -1) {
					k.seen++
					if !k.known[strings.ToLower(name)] {
						t.Errorf("%s cites %s, which does not stand in %s", p.path, name, k.page)
					}
				}
			}
		}
		if m := elsewhere.FindString(text); m != "" {
			t.Errorf("%s names %s, which is not in the repository", p.path, m)
		}
	}
	for _, k := range kinds {
		if k.seen < k.atLeast {
			t.Errorf("only %d citations of %s were found: a pattern is broken", k.seen, k.page)
		}
	}
}

// TestFactsHaveSources: each fact names a file of PostgreSQL that decides it, with its folder, so that a reader of
// another version can look again.
func TestFactsHaveSources(t *testing.T) {
	sections := strings.Split(read(t, facts), "\n### ")[1:]
	for _, s := range sections {
		if title, _, _ := strings.Cut(s, "\n"); !sourceFile.MatchString(s) {
			t.Errorf("%s: %q names no source file of PostgreSQL", facts, title)
		}
	}
	if len(sections) < 35 {
		t.Errorf("%s: %d facts were read", facts, len(sections))
	}
}

// firstWithoutGaps is the number from which on ADRs are numbered one by one. Before it each part of the program had
// numbers of its own: those that lack were never used, and stay unused.
const firstWithoutGaps = 60

// TestADRIndex: the index names every ADR with its title, by number; no number is taken twice, and none is left out.
func TestADRIndex(t *testing.T) {
	index := read(t, "docs/adr/README.md")
	files, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	last := 0
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(string(content), "# "), "\n")
		number, about, _ := strings.Cut(title, ": ")
		name := filepath.Base(path)
		if line := "- [" + number + "](" + name + ") " + about + "\n"; !strings.Contains(index, line) {
			t.Errorf("docs/adr/README.md lacks the line %q", line)
		} else if at := strings.Index(index, line); at < last {
			t.Errorf("docs/adr/README.md has the line of %s too early", number)
		} else {
			last = at
		}
		n, err := strconv.Atoi(number)
		if err != nil || !strings.HasPrefix(name, number) {
			t.Errorf("%s: its title has the number %q", path, number)
		}
		if slices.Contains(numbers, n) {
			t.Errorf("there are two ADRs %04d", n)
		}
		if n > firstWithoutGaps && !slices.Contains(numbers, n-1) {
			t.Errorf("%s: there is no ADR %04d before it", path, n-1)
		}
		numbers = append(numbers, n)
	}
}

// firstWithAllParts is the number from which on an ADR has all parts of the template. Older ones are not written anew.
const firstWithAllParts = 82

// TestADRParts: a decision says what the template in the index asks for: above all what it costs, what else there was,
// and how we would know that it was wrong.
func TestADRParts(t *testing.T) {
	title := regexp.MustCompile(`(?m)^\*\*([^*]+)\*\*`)
	_, template, _ := strings.Cut(read(t, "docs/adr/README.md"), "\n```\n")
	template, _, _ = strings.Cut(template, "\n```\n")
	parts := title.FindAllStringSubmatch(template, -1)
	if len(parts) < 5 {
		t.Fatalf("the template has %d parts", len(parts))
	}
	files, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, path := range files {
		number, _, _ := strings.Cut(filepath.Base(path), "-")
		if n, err := strconv.Atoi(number); err != nil || n < firstWithAllParts {
			continue
		}
		looked++
		text := read(t, path)
		for _, part := range parts {
			if !strings.Contains(text, "\n"+part[0]) {
				t.Errorf("%s has no part %q", path, part[1])
			}
		}
	}
	if looked < 7 {
		t.Errorf("%d decisions were read", looked)
	}
}
