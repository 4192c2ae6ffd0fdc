package replproxy

import (
	"go/ast"
	"testing"
)

// TestLeakChecks: where goroutines are started, in the code or in its tests, the tests end with a look for those
// that are left over.
func TestLeakChecks(t *testing.T) {
	starts, tests, checks := map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		tests[s.dir] = tests[s.dir] || s.test
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.GoStmt:
				starts[s.dir] = s.fset.Position(x.Pos()).String()
			case *ast.CallExpr:
				switch sel, _ := x.Fun.(*ast.SelectorExpr); {
				case sel == nil:
				case sel.Sel.Name == "Go":
					starts[s.dir] = s.fset.Position(x.Pos()).String()
				case s.test && (callee(x) == "goleak.VerifyTestMain" || callee(x) == "pgtest.Main"):
					checks[s.dir] = true
				case callee(x) == "goleak.Find": // pgtest.Main itself
					checks[s.dir] = true
				}
			}
			return true
		})
	}
	for dir, at := range starts {
		if tests[dir] && !checks[dir] {
			t.Errorf("%s starts a goroutine, and the tests of %s do not look for those that are left over", at, dir)
		}
	}
	if len(checks) < 10 {
		t.Errorf("only %d packages with a check: the search for them is broken", len(checks))
	}
}
