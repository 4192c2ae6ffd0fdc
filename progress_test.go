package replproxy

import (
	"go/ast"
	"slices"
	"testing"
)

// TestOneProgress: write, flush and apply travel as one type from a standby's reply to the report upstream. What has
// columns of its own is a document for somebody who reads JSON.
func TestOneProgress(t *testing.T) {
	documents := []string{"proxy/admin.Standby", "proxy/admin.QuorumVoter", "proxy/admin.QuorumZone", "cluster/tail.Standby"}
	for _, name := range structsWith(t, "Write", "Flush", "Apply") {
		if name != "grammar/lsn.Progress" && !slices.Contains(documents, name) {
			t.Errorf("%s has write, flush and apply of its own: lsn.Progress has them", name)
		}
	}
}

// TestOnePrint: WAL is named by its bytes in one type, in the store, between members and where members are compared.
// The mark has a hash at its position, which is there only while the mark is ahead of what was synced.
func TestOnePrint(t *testing.T) {
	found := map[string]bool{}
	for _, position := range []string{"LSN", "At", "End"} {
		for _, name := range structsWith(t, "Timeline", position, "Sum") {
			if found[name] = true; name != "grammar/lsn.Print" && name != "fanout/walstore.mark" {
				t.Errorf("%s has timeline, position and hash of its own: lsn.Print has them", name)
			}
		}
	}
	if !found["grammar/lsn.Print"] {
		t.Error("lsn.Print itself was not found")
	}
}

// structsWith returns the types, outside of tests and conformance, that declare all these fields themselves.
func structsWith(t *testing.T, fields ...string) (types []string) {
	t.Helper()
	for _, s := range sources(t) {
		if s.test || under(s.dir, "conformance") {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if x, ok := spec.(*ast.TypeSpec); ok && declares(x.Type, fields) {
					types = append(types, s.dir+"."+x.Name.Name)
				}
			}
		}
	}
	return types
}

// declares reports whether a struct declares all these fields itself.
func declares(x ast.Expr, fields []string) bool {
	st, ok := x.(*ast.StructType)
	if !ok {
		return false
	}
	var names []string
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return !slices.ContainsFunc(fields, func(name string) bool { return !slices.Contains(names, name) })
}
