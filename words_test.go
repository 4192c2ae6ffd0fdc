package replproxy

import (
	"go/ast"
	"path"
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

// part is one word of an identifier, as capitals and underscores divide it; of HTTP each letter.
var part = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]`)

// wordsOf returns an identifier as one word, and the words that it is made of, in lower case. Each is there without its
// plural's s as well.
func wordsOf(identifier string) (all []string) {
	for _, w := range append(part.FindAllString(identifier, -1), identifier) {
		w = strings.ToLower(w)
		all = append(all, w)
		if one, plural := strings.CutSuffix(w, "s"); plural {
			all = append(all, one)
		}
	}
	return all
}

// TestWordsOf: what is made of words is seen as them.
func TestWordsOf(t *testing.T) {
	for identifier, want := range map[string]string{
		"door": "door", "openDoors": "doors", "TestAtTheDoorOfALeader": "leader", "HTTPDoor": "door", "door_2": "door",
		"mates": "mate", "slotkeeper": "slotkeeper", "SlotKeeper": "slotkeeper",
	} {
		if got := wordsOf(identifier); !slices.Contains(got, want) {
			t.Errorf("%s: %q is not among %q", identifier, want, got)
		}
	}
	if got := wordsOf("estimates"); slices.Contains(got, "mate") {
		t.Errorf("estimates: %q", got)
	}
}

// TestWords: nothing bears a name that was given up, no file either, and comments have no synonyms of PostgreSQL's words.
func TestWords(t *testing.T) {
	banned, names := synonyms(), abandoned(t)
	var narrow []*regexp.Regexp
	for _, n := range narrows {
		narrow = append(narrow, regexp.MustCompile(`^(?:`+n.ids+`)$`))
	}
	for _, s := range sources(t) {
		if s.path == "words_test.go" {
			continue
		}
		look := func(at, name string) {
			for _, word := range wordsOf(name) {
				if better := banned[word] + names[word]; better != "" {
					t.Errorf("%s: %q: say %q", at, name, better)
				}
				for i, n := range narrows {
					if n.ids != "" && (len(n.in) == 0 || within(s.dir, n.in)) && !within(s.dir, n.but) && narrow[i].MatchString(word) {
						t.Errorf("%s: %q: say %s", at, name, n.say)
					}
				}
			}
		}
		look(s.path, strings.TrimSuffix(path.Base(s.path), ".go"))
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				look(s.fset.Position(id.Pos()).String(), id.Name)
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

// TestOneMeaning: a word that the glossary gives a type names that type, in the packages that it says, and no other one.
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
	if where := declared["Own"]; where != nil {
		t.Errorf("%q: the type Own: say proxy slot", where)
	}
	table, _, _ := strings.Cut(read(t, glossary), "\n## Given up\n")
	words, types := ourWord.FindAllStringSubmatch(table, -1), 0
	for _, m := range words {
		word, name := m[1], m[3]
		if name == "" {
			continue
		}
		types++
		var where []string
		for _, p := range inPackage.FindAllStringSubmatch(m[2], -1) {
			where = append(where, p[1])
		}
		slices.Sort(where)
		slices.Sort(declared[name])
		if len(where) == 0 || !slices.Equal(declared[name], where) {
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
