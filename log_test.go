package replproxy

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls are the methods that take keys and values, by the number of the arguments before them.
var logCalls = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "say": 3, "repeat": 3,
}

// keyRow matches a row of docs/log.md's table of keys.
var keyRow = regexp.MustCompile("(?m)^\\| ((?:`[a-z_0-9]+`(?:, )?)+) \\| [^|]+ \\|$")

// TestLogKeys: docs/log.md tells of each key of the log, and of no other one.
func TestLogKeys(t *testing.T) {
	used := map[string]string{"time": "slog", "level": "slog", "msg": "slog"}
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "conformance") || strings.HasPrefix(s.dir, "tools") {
			continue
		}
		for _, key := range logKeys(s.file) {
			used[key] = s.path
		}
	}
	told := map[string]bool{}
	for _, row := range keyRow.FindAllStringSubmatch(read(t, "docs/log.md"), -1) {
		for _, key := range strings.Split(row[1], ", ") {
			told[strings.Trim(key, "`")] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		if !told[key] {
			t.Errorf("docs/log.md does not tell of the key %s, which %s uses", key, used[key])
		}
	}
	for key := range told {
		if used[key] == "" {
			t.Errorf("docs/log.md tells of the key %s, which nobody uses", key)
		}
	}
	if len(used) < 60 {
		t.Fatalf("%d keys: the search is broken", len(used))
	}
}

// logKeys are the keys of a file's log calls, and of the lists that are handed to them.
func logKeys(file *ast.File) (all []string) {
	add := func(args []ast.Expr) {
		for i := 0; i < len(args); i += 2 {
			lit, ok := args[i].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return
			}
			if key, err := strconv.Unquote(lit.Value); err == nil && plainKey.MatchString(key) {
				all = append(all, key)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if list, ok := n.Type.(*ast.ArrayType); ok && list.Len == nil {
				if elem, ok := list.Elt.(*ast.Ident); ok && elem.Name == "any" {
					add(n.Elts)
				}
			}
		case *ast.CallExpr:
			switch fun := n.Fun.(type) {
			case *ast.SelectorExpr:
				if before, ok := logCalls[fun.Sel.Name]; ok && len(n.Args) > before && isLogger(fun.X) {
					add(n.Args[before:])
				}
			case *ast.Ident:
				if fun.Name == "append" && len(n.Args) > 2 {
					add(n.Args[1:])
				}
			}
		}
		return true
	})
	return all
}

var plainKey = regexp.MustCompile(`^[a-z][a-z_0-9]*$`)

// isLogger reports whether a method is called on a logger, or on a quota of lines.
func isLogger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.HasSuffix(strings.ToLower(e.Name), "log") || e.Name == "logger" || strings.HasSuffix(e.Name, "Lines")
	case *ast.SelectorExpr:
		return isLogger(e.Sel) || e.Sel.Name == "Logger" || e.Sel.Name == "lines"
	case *ast.CallExpr: // sayOf(…).Info
		return true
	}
	return false
}
