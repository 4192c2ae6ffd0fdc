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
				x, ok := spec.(*ast.TypeSpec)
				if !ok || !ownColumns(x.Type) {
					continue
				}
				if name := s.dir + "." + x.Name.Name; name != "grammar/lsn.Progress" && !slices.Contains(documents, name) {
					t.Errorf("%s: %s has write, flush and apply of its own: lsn.Progress has them", s.path, name)
				}
			}
		}
	}
}

// ownColumns reports whether a struct declares all three positions itself.
func ownColumns(x ast.Expr) bool {
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
	has := func(name string) bool { return slices.Contains(names, name) }
	return has("Write") && has("Flush") && has("Apply")
}
