package replproxy

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

const module = "github.com/replproxy/replproxy"

// The limits that a reader feels. A file near them is asked whether it is still one idea.
const (
	maxCodeLines = 300
	maxTestLines = 400 // a table may be long
	maxColumns   = 120
)

// source is one parsed Go file of the repository.
type source struct {
	path string // slash-separated, from the root
	dir  string
	file *ast.File
	fset *token.FileSet
	test bool
}

func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files: the walk is broken", len(all))
	}
	return all
}

// parsed reads the tree once for all tests, which only look at it.
var parsed = sync.OnceValues(func() (all []source, err error) {
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(path)
		all = append(all, source{slash, filepath.ToSlash(filepath.Dir(path)), f, fset, strings.HasSuffix(path, "_test.go")})
		return nil
	})
	return all, err
})

// TestOnePackageDoc: every package tells its story once, in doc.go, with a picture or at least a paragraph.
func TestOnePackageDoc(t *testing.T) {
	docs, packages := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		packages[s.dir] = true
		if s.file.Doc == nil {
			continue
		}
		docs[s.dir]++
		if base := filepath.Base(s.path); base != "doc.go" {
			t.Errorf("%s: the package doc belongs into doc.go", s.path)
		}
		if n := len(strings.Fields(s.file.Doc.Text())); n < 30 {
			t.Errorf("%s: a package doc of %d words tells no story", s.path, n)
		}
	}
	for dir := range packages {
		if docs[dir] != 1 {
			t.Errorf("%s: %d package docs, expected exactly one", dir, docs[dir])
		}
	}
}

// TestFileSize keeps files to one idea and lines readable.
func TestFileSize(t *testing.T) {
	for _, s := range sources(t) {
		f, err := os.Open(s.path)
		if err != nil {
			t.Fatal(err)
		}
		lines, limit := 0, maxCodeLines
		if s.test {
			limit = maxTestLines
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			lines++
			text := strings.ReplaceAll(sc.Text(), "\t", "    ")
			if utf8.RuneCountInString(text) > maxColumns && !s.test {
				t.Errorf("%s:%d: line of %d columns, at most %d", s.path, lines, utf8.RuneCountInString(text), maxColumns)
			}
		}
		f.Close()
		if lines > limit {
			t.Errorf("%s: %d lines, at most %d: which second idea does it hold?", s.path, lines, limit)
		}
	}
}

// TestNoHiddenState: no init, no sleeping or skipped tests, no default logger.
func TestNoHiddenState(t *testing.T) {
	skips := []string{"Skip", "Skipf", "SkipNow"}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				if x.Recv == nil && x.Name.Name == "init" {
					t.Errorf("%s: init runs behind the reader's back", s.fset.Position(x.Pos()))
				}
			case *ast.CallExpr:
				name := callee(x)
				if s.test && name == "time.Sleep" && !inBubble(s) {
					t.Errorf("%s: tests wait for a condition, not for time", s.fset.Position(x.Pos()))
				}
				if sel, ok := x.Fun.(*ast.SelectorExpr); ok && slices.Contains(skips, sel.Sel.Name) {
					t.Errorf("%s: a test that is skipped proves nothing", s.fset.Position(x.Pos()))
				}
				if name == "slog.Default" || name == "slog.SetDefault" {
					t.Errorf("%s: loggers are injected", s.fset.Position(x.Pos()))
				}
			}
			return true
		})
	}
}

// inBubble reports whether the file uses testing/synctest, where Sleep costs no time.
func inBubble(s source) bool {
	for _, im := range s.file.Imports {
		if p, _ := strconv.Unquote(im.Path.Value); p == "testing/synctest" {
			return true
		}
	}
	return false
}

func callee(c *ast.CallExpr) string {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); ok {
		return x.Name + "." + sel.Sel.Name
	}
	return ""
}

// calls lists the selector calls of a file, each followed by a blank.
func calls(s source) string {
	var b strings.Builder
	ast.Inspect(s.file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			b.WriteString(callee(c) + " ")
		}
		return true
	})
	return b.String()
}
