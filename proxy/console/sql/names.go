package sql

import (
	"strconv"

	"github.com/replproxy/replproxy/proxy/console/datum"
)

// firstBoolean is the major version since which a boolean literal is no cast, and gives its column no name.
const firstBoolean = 15

// figureName returns the name of an output column that the query gives none, as PostgreSQL's FigureColname does.
func figureName(n *node, major int) string {
	if name, _ := figure(n, major); name != "" {
		return name
	}
	return "?column?"
}

// figure returns a name and how good it is: 2 for one of a column or function, 1 for one of a type.
func figure(n *node, major int) (name string, strength int) {
	switch n.kind {
	case "column", "call", "coalesce", "greatest", "least", "nullif", "extract":
		return n.text, 2
	case "true", "false":
		if major < firstBoolean {
			return "bool", 1
		}
	case "cast":
		if name, strength = figure(n.kids[0], major); strength <= 1 {
			return typeNamed(n).CatalogName(), 1
		}
	case "case":
		if last := n.kids[len(n.kids)-1]; last != nil {
			name, strength = figure(last, major)
		}
		if strength <= 1 {
			return "case", 1
		}
	}
	return name, strength
}

// typeNamed returns the type of a cast, whose OID is the node's text.
func typeNamed(n *node) datum.Type {
	oid, _ := strconv.ParseUint(n.text, 10, 32)
	return datum.Type(oid)
}
