package replproxy

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestRunbook: docs/runbook.md has a piece of the words of every warning that status can show. It has every reason why
// a commit waits or a voter does not count, every error and warning of the log, and no others. A warning is made by a
// function named …Warnings in proxy/report, or by preflight's Advise and what it calls.
func TestRunbook(t *testing.T) {
	book := squeezed(read(t, "docs/runbook.md"))
	warnings, errors := 0, 0
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "conformance") {
			continue
		}
		for _, said := range append(warned(t, s), reasons(s)...) {
			warnings++
			if !strings.Contains(book, said) {
				t.Errorf("%s: docs/runbook.md does not have %q", s.path, said)
			}
		}
		for _, said := range logged(s) {
			errors++
			if !strings.Contains(book, said) {
				t.Errorf("%s: docs/runbook.md does not have the log's %q", s.path, said)
			}
		}
	}
	if warnings < 25 || errors < 80 {
		t.Fatalf("%d warnings, %d lines of the log: the search is broken", warnings, errors)
	}
}

// shownLine matches a line of status or the log, as the runbook quotes it.
var shownLine = regexp.MustCompile(`(?m)^> - (?:warning|log): (.*)$`)

// TestRunbookQuotesWhatIs: what the runbook quotes of status and the log is said by the program.
func TestRunbookQuotesWhatIs(t *testing.T) {
	var said strings.Builder
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "conformance") {
			continue
		}
		for _, text := range texts(s.file) {
			said.WriteString(squeezed(verb.ReplaceAllString(text, "…")) + "\n")
		}
	}
	lines := shownLine.FindAllStringSubmatch(read(t, "docs/runbook.md"), -1)
	if len(lines) < 100 {
		t.Fatalf("%d lines: the search is broken", len(lines))
	}
	for _, m := range lines {
		best := ""
		for _, piece := range strings.Split(m[1], "…") {
			if piece = strings.Trim(squeezed(piece), " ):,;(\""); len(piece) > len(best) {
				best = piece
			}
		}
		if !strings.Contains(said.String(), best) {
			t.Errorf("docs/runbook.md quotes %q, which nothing says", best)
		}
	}
}

// advice are the functions whose texts "replproxy run" shows as warnings, beside those named …Warnings.
var advice = map[string][]string{
	"cmd/replproxy/preflight": {"Advise", "syncTraps", "ruleAdvice", "notAllNamed", "openGates", "gateUnnamed", "encryption", "slotWithRule",
		"countedTwice", "trust", "trusting", "accessCheck", "relayWithRule", "remoteApply"},
	"cmd/replproxy/daemon": {"publish"},
	"proxy/admin":          {"CommitsWait", "NoWAL"},
}

// warned are the beginnings of the warnings that a file can make.
func warned(t *testing.T, s source) (all []string) {
	if s.dir != "proxy/report" && advice[s.dir] == nil {
		return nil
	}
	for _, d := range s.file.Decls {
		name := declared(d)
		if strings.HasSuffix(name, "Warnings") && name != "Warnings" || slices.Contains(advice[s.dir], name) {
			for _, text := range texts(d) {
				if isWarning(text) {
					all = append(all, longest(text))
				}
			}
		}
		ast.Inspect(d, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) < 2 || s.dir != "proxy/report" {
				return true
			}
			if fun, ok := c.Fun.(*ast.SelectorExpr); !ok || fun.Sel.Name != "add" {
				return true
			}
			for _, a := range c.Args[1:] {
				made, ok := a.(*ast.CallExpr)
				if id, plain := funcName(made); ok && (!plain || !strings.HasSuffix(id, "Warnings")) {
					t.Errorf("%s: warnings are made by functions named …Warnings, which a test looks into", s.fset.Position(a.Pos()))
				}
			}
			return true
		})
	}
	return all
}

func funcName(c *ast.CallExpr) (string, bool) {
	if c == nil {
		return "", false
	}
	id, ok := c.Fun.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// declared is the name of a function, or of a constant that stands alone.
func declared(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		if v, ok := d.Specs[0].(*ast.ValueSpec); ok && len(d.Specs) == 1 && d.Tok == token.CONST {
			return v.Names[0].Name
		}
	}
	return ""
}

// logged are the messages of a file at the levels of errors and warnings.
func logged(s source) (all []string) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) == 0 {
			return true
		}
		if sel, ok := c.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Error" || sel.Sel.Name == "Warn") {
			if text, ok := literal(c.Args[0]); ok {
				all = append(all, longest(text))
			}
		}
		return true
	})
	return all
}

// texts are the whole string constants below a node, sums joined, those of its calls' formats included.
func texts(n ast.Node) (all []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := literal(e)
		if ok {
			all = append(all, text)
		}
		return !ok
	})
	return all
}

// literal is a constant text, or the constant beginning of a sum.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		if left, ok := literal(e.X); ok && e.Op == token.ADD {
			right, _ := literal(e.Y)
			return left + right, true
		}
	}
	return "", false
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-z]`)

// isWarning leaves out remedies, continuations, names, and what preflight says when all is well.
func isWarning(text string) bool {
	first := text[:min(len(text), 1)]
	well := []string{"the primary asks for a proof", "in clear to the primary", "%s to the primary (%s", "%d rules"}
	return strings.Contains(text, " ") && (first == "%" || first >= "a" && first <= "z" || strings.HasPrefix(text, ": ")) &&
		!slices.ContainsFunc(well, func(w string) bool { return strings.HasPrefix(text, w) })
}

// longest is the longest piece of a format without a verb, cut to what a page has to show of it.
func longest(format string) (best string) {
	const enough = 50
	for _, piece := range verb.Split(format, -1) {
		if piece = strings.Trim(squeezed(piece), " ):,;("); len(piece) > len(best) {
			best = piece
		}
	}
	if len(best) > enough {
		best = best[:strings.LastIndexByte(best[:enough], ' ')]
	}
	return best
}

// reasons are the constants of package ledger, and cluster's one, that say why.
func reasons(s source) (all []string) {
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST || s.dir != "cluster/ledger" && s.dir != "cluster" {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			kind := ""
			switch typ := v.Type.(type) {
			case *ast.Ident:
				kind = typ.Name
			case *ast.SelectorExpr:
				kind = typ.Sel.Name
			}
			if kind != "Why" && kind != "Standing" || v.Names[0].Name == "Counts" {
				continue
			}
			for _, value := range v.Values {
				all = append(all, texts(value)...)
			}
		}
	}
	return all
}

// squeezed has one blank where there is any white space.
func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }
