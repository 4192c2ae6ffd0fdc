package replproxy

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// glossary is the page of words: first a table of those that are ours, then one of those that were given up.
const glossary = "docs/glossary.md"

var (
	ourWord   = regexp.MustCompile("(?m)^\\| \\*\\*([^*]+)\\*\\* \\| .* \\| ([^|]*) \\| (?:`([A-Za-z]\\w*)`)? ?\\|$")
	givenUp   = regexp.MustCompile(`(?m)^\| (\w+) \| ([^|]+) \|$`)
	inPackage = regexp.MustCompile("`([a-z/]+)`")
)

// synonyms are words that stand neither in code nor in comments: one thing has one name, and it is PostgreSQL's.
func synonyms() map[string]string {
	return map[string]string{
		"replica": "standby", "replicas": "standbys", "follower": "standby", "followers": "standbys",
		"slave": "standby", "slaves": "standbys", "leader": "primary", "master": "primary",
	}
}

// abandoned reads from the glossary the names that nothing bears any more, and the better ones.
func abandoned(t *testing.T) map[string]string {
	t.Helper()
	_, table, ok := strings.Cut(read(t, glossary), "\n## Given up\n")
	words := map[string]string{}
	for _, m := range givenUp.FindAllStringSubmatch(table, -1) {
		words[m[1]] = m[2]
	}
	if !ok || len(words) < 5 {
		t.Fatalf("%s: %d words under Given up: the table is not read", glossary, len(words))
	}
	return words
}

// TestWords: nothing bears a name that was given up, and comments have no synonyms of PostgreSQL's words.
func TestWords(t *testing.T) {
	banned, names := synonyms(), abandoned(t)
	for _, s := range sources(t) {
		if s.path == "words_test.go" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			word := strings.ToLower(id.Name)
			if better, bad := banned[word]; bad {
				t.Errorf("%s: %q: say %q", s.fset.Position(id.Pos()), id.Name, better)
			}
			if better, bad := names[word]; bad {
				t.Errorf("%s: %q: say %q", s.fset.Position(id.Pos()), id.Name, better)
			}
			return true
		})
		for _, g := range s.file.Comments {
			for _, w := range strings.FieldsFunc(strings.ToLower(g.Text()), func(r rune) bool { return r < 'a' || r > 'z' }) {
				if better, bad := banned[w]; bad && w != "replica" { // "replica identity" is PostgreSQL's own term
					t.Errorf("%s: comment says %q: say %q", s.fset.Position(g.Pos()), w, better)
				}
			}
		}
	}
}

// TestOneMeaning: a word that the glossary gives a type names that type, in the package that it says, and no other one.
func TestOneMeaning(t *testing.T) {
	declared := map[string][]string{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || s.test {
				continue
			}
			for _, spec := range g.Specs {
				if x, ok := spec.(*ast.TypeSpec); ok {
					declared[x.Name.Name] = append(declared[x.Name.Name], s.dir)
				}
			}
		}
	}
	table, _, _ := strings.Cut(read(t, glossary), "\n## Given up\n")
	words, types := ourWord.FindAllStringSubmatch(table, -1), 0
	for _, m := range words {
		word, name := m[1], m[3]
		if name == "" {
			continue
		}
		types++
		where := inPackage.FindStringSubmatch(m[2])
		if where == nil || !slices.Equal(declared[name], where[1:]) {
			t.Errorf("%s: %s is the type %s in %s, and that is declared in %q", glossary, word, name, m[2], declared[name])
		}
		if !strings.HasPrefix(strings.ToLower(name), strings.ToLower(strings.ReplaceAll(word, " ", ""))) {
			t.Errorf("%s: the type %s is not called %q", glossary, name, word)
		}
	}
	if rows := strings.Count(table, "\n| **"); len(words) != rows || types < 8 {
		t.Errorf("%s: of %d words %d are read, and %d have a type", glossary, rows, len(words), types)
	}
}
