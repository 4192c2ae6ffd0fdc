package scene

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Block is a fenced piece of a page of the documentation. Its first line says what it is and who runs it, which
// readers of the page do not see:
//
//	sh TestReadme                 that test runs it as it is printed
//	sql norun: the reason         nobody does, and why
//	text                          it is no command
type Block struct {
	Page string // docs/failover.md
	Line int
	Lang string
	Info string
	Text string
}

// Blocks returns the blocks of a page, whose path begins at the repository's root.
func Blocks(t testing.TB, page string) (all []Block) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	open := false
	for i, line := range strings.Split(string(content), "\n") {
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !open:
			lang, info, _ := strings.Cut(info, " ")
			all = append(all, Block{Page: page, Line: i + 1, Lang: lang, Info: info})
		case !fence && open:
			all[len(all)-1].Text += line + "\n"
		}
		open = open != fence
	}
	return all
}

// Tests returns the tests that run a block.
func (b *Block) Tests() []string {
	if strings.HasPrefix(b.Info, "norun:") {
		return nil
	}
	return strings.Fields(b.Info)
}

// Page is the blocks of a page that a test runs.
type Page struct {
	path  string
	todo  []Block
	taken []bool
}

// OpenPage reads the blocks that name the test. The test fails at its end if it has left one of them out.
func OpenPage(t *testing.T, path string) *Page {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	p := &Page{path: path}
	for _, b := range Blocks(t, path) {
		if slices.Contains(b.Tests(), name) {
			p.todo = append(p.todo, b)
		}
	}
	p.taken = make([]bool, len(p.todo))
	t.Cleanup(func() {
		for i, b := range p.todo {
			if !p.taken[i] && !t.Failed() {
				t.Errorf("%s:%d says that %s runs it, which it does not:\n%s", path, b.Line, name, b.Text)
			}
		}
	})
	return p
}

// Block returns the text of the block that contains words.
func (p *Page) Block(t *testing.T, words string) string {
	t.Helper()
	for i, b := range p.todo {
		if strings.Contains(b.Text, words) {
			p.taken[i] = true
			return b.Text
		}
	}
	t.Fatalf("%s has no block with %q that names %s", p.path, words, t.Name())
	return ""
}
