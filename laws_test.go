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
	lawPattern    = regexp.MustCompile(`(?m)^- (?:\*\*)?([IG]\d)\b`)
	citedLaw      = regexp.MustCompile(`\b(?:[Ii]nvariants? |guarantees? |\()(I\d|G\d)\b`)
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

// TestLaws: what is cited by a number stands in the repository, and every ruling of the page is there once.
func TestLaws(t *testing.T) {
	known := map[string]bool{}
	for _, path := range []string{rulings, facts} {
		for _, m := range idPattern.FindAllStringSubmatch(read(t, path), -1) {
			if known[m[1]] {
				t.Errorf("%s: %s is there twice", path, m[1])
			}
			known[m[1]] = true
		}
	}
	for n := 1; n <= lastRule; n++ {
		if id := "r" + strconv.Itoa(n); !known[id] {
			t.Errorf("%s has no %s", rulings, id)
		}
	}
	for _, m := range lawPattern.FindAllStringSubmatch(read(t, promises), -1) {
		known[strings.ToLower(m[1])] = true
	}
	seen := 0
	for _, p := range cited(t) {
		var names []string
		text := strings.Join(strings.Fields(p.text), " ")
		for _, pattern := range []*regexp.Regexp{rulingPattern, factPattern, citedLaw} {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				names = append(names, numberPattern.FindAllString(strings.Join(m[1:], " "), -1)...)
			}
		}
		seen += len(names)
		for _, name := range names {
			if !known[strings.ToLower(name)] {
				t.Errorf("%s cites %s, which stands nowhere", p.path, name)
			}
		}
		if m := elsewhere.FindString(text); m != "" {
			t.Errorf("%s names %s, which is not in the repository", p.path, m)
		}
	}
	if seen < 300 {
		t.Errorf("only %d citations were found: a pattern is broken", seen)
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
