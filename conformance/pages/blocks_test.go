package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/scene"
)

// commandLine matches the beginning of a line that somebody could type.
var commandLine = regexp.MustCompile(`^\s*(\$ )?(sudo |bin/)?(replproxy|psql|make|go|ssh|scp|pg_\w+|systemctl|curl|kill|export) ` +
	`|^\s*(ALTER|SELECT|CREATE|DROP|GRANT|REVOKE) |^\s*\w+_command\s*=`)

// TestBlocks: every block of README.md and docs is run by a test of this package, as it is printed, or gives a reason
// why it is not. A block that is no command is a text. A command stands in a block, not in an indented line.
func TestBlocks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	more, err2 := filepath.Glob("../../*.md")
	if pages = append(pages, more...); err != nil || err2 != nil || len(pages) < 15 {
		t.Fatal(pages, err, err2)
	}
	opens, run := openers(t), 0
	for _, path := range pages {
		page := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		for _, b := range scene.Blocks(t, page) {
			reason, norun := strings.CutPrefix(b.Info, "norun: ")
			switch {
			case b.Lang == "text" && b.Info == "":
				if commandLine.MatchString(b.Text) {
					t.Errorf("%s:%d is a text, but has a command", page, b.Line)
				}
			case b.Lang == "" || b.Info == "" || norun && len(reason) < 20:
				t.Errorf("%s:%d: no test runs this block, and it does not say why (%q)", page, b.Line, b.Lang+" "+b.Info)
			case !norun:
				run++
				for _, name := range b.Tests() {
					if !slices.Contains(opens[name], page) {
						t.Errorf("%s:%d: %s does not run what the page prints", page, b.Line, name)
					}
				}
			}
		}
		for i, line := range unfenced(t, path) {
			if strings.HasPrefix(line, "    ") && commandLine.MatchString(line) {
				t.Errorf("%s:%d: a command that no test runs: %s", page, i+1, line)
			}
		}
	}
	if run < 20 {
		t.Fatalf("%d blocks are run: the search is broken", run)
	}
}

// unfenced are the lines of a page, empty within blocks.
func unfenced(t *testing.T, path string) []string {
	t.Helper()
	lines, open := strings.Split(read(t, path), "\n"), false
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			open = !open
		}
		if open {
			lines[i] = ""
		}
	}
	return lines
}

// openers are the tests of this package with the pages whose blocks each opens.
func openers(t *testing.T) map[string][]string {
	t.Helper()
	opens := map[string][]string{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				c, ok := n.(*ast.CallExpr)
				if !ok || len(c.Args) != 2 {
					return true
				}
				sel, ok := c.Fun.(*ast.SelectorExpr)
				path, text := c.Args[1].(*ast.BasicLit)
				if ok && text && sel.Sel.Name == "OpenPage" {
					opens[f.Name.Name] = append(opens[f.Name.Name], strings.Trim(path.Value, `"`))
				}
				return true
			})
		}
	}
	return opens
}
