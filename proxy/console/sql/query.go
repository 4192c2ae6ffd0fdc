package sql

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// Column is a column of a table or of an answer.
type Column struct {
	Name string
	Type datum.Type
}

// World is all that a query may ask for. Its functions are called by Prepare and Run only.
type World struct {
	Columns func(table string) []Column        // nil: there is no such table
	Rows    func(table string) [][]datum.Value // with a value for each column
	// Call returns the value of a function without arguments, or a *pgerror.Error as v.
	Call    func(name string) (t datum.Type, v datum.Value, ok bool)
	Setting func(name string) (value string, ok bool) // of current_setting
	Now     time.Time
	Major   int // whose ways are followed: of PostgreSQL
	Zone    *time.Location
	Steps   *Steps // nil: those of one statement
}

// Query is a SELECT that can be run. It may be run by several goroutines.
type Query struct {
	Columns    []Column
	Parameters []datum.Type

	table         string
	targets       []*expr
	where         *expr
	keys          []key
	limit, offset *expr
	aggregates    []*aggregate
	slots         int // of frame.kept
}

// key is a part of ORDER BY.
type key struct {
	by               *expr
	down, nullsFirst bool
}

// Prepare finds the types of a SELECT. known are the types of its first parameters, 0 for one that is to be found. The
// error is a *pgerror.Error.
func Prepare(s Statement, w *World, known []datum.Type) (q *Query, err error) {
	defer catch(&err)
	w = w.metered()
	sel := s.sel
	a := &analyzer{w: w, alias: sel.alias, table: sel.table, parameters: slices.Clone(known)}
	if sel.table != "" {
		if a.columns = w.Columns(sel.table); a.columns == nil {
			fault(sel.tableAt, pgerror.UndefinedTable, "relation \"%s\" does not exist", sel.table)
		}
	}
	q = &Query{table: sel.table}
	for _, t := range sel.targets {
		if t.value.kind == "star" {
			a.star(t.value, q)
			few(len(q.targets), t.value.at)
			continue
		}
		q.targets = append(q.targets, a.expr(t.value))
		name := t.name
		if name == "" {
			name = figureName(t.value, w.Major)
		}
		q.Columns = append(q.Columns, Column{Name: name})
		few(len(q.targets), t.value.at)
	}
	if sel.where != nil {
		bare := a.bare
		a.clause = "WHERE"
		q.where = a.boolean(a.expr(sel.where), "WHERE")
		a.clause, a.bare = "", bare
	}
	for _, o := range sel.order {
		q.keys = append(q.keys, a.key(o, sel.targets, q))
	}
	q.offset, q.limit = a.bound(sel.offset, "OFFSET"), a.bound(sel.limit, "LIMIT")
	refuseWidened(q.targets...)
	for i, e := range q.targets {
		if e.typ == datum.Unknown {
			q.targets[i] = a.coerce(e, datum.Text, implicit, e.at)
		}
		q.Columns[i].Type = q.targets[i].typ
	}
	if len(a.aggregates) > 0 && a.bare != nil {
		fault(a.bare.at, pgerror.GroupingError,
			"column \"%s.%s\" must appear in the GROUP BY clause or be used in an aggregate function",
			a.alias, a.bare.text)
	}
	for _, e := range a.unknown {
		if t := a.parameters[e.param-1]; !e.found && t != 0 && t != datum.Unknown {
			fault(e.at, pgerror.AmbiguousParameter, "could not determine data type of parameter $%d", e.param)
		}
	}
	for i, t := range a.parameters {
		if t == 0 || t == datum.Unknown {
			fault(0, pgerror.IndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
	}
	q.Parameters, q.aggregates, q.slots = a.parameters, a.aggregates, a.slots
	return q, nil
}

// star adds all columns of the table.
func (a *analyzer) star(n *node, q *Query) {
	if n.of == "" && a.table == "" {
		fault(n.at, pgerror.SyntaxError, "SELECT * with no tables specified is not valid")
	}
	for _, c := range a.columns {
		q.targets = append(q.targets, a.column(&node{text: c.Name, of: n.of, at: n.at}))
		q.Columns = append(q.Columns, c)
	}
	if a.table == "" {
		a.column(n)
	}
}

// key finds a part of ORDER BY: a name or number of an output column, or an expression.
func (a *analyzer) key(o ordering, targets []target, q *Query) key {
	k := key{down: o.down, nullsFirst: o.nulls}
	n := o.by
	switch {
	case n.kind == "column" && n.of == "":
		for i, c := range q.Columns {
			if c.Name != n.text {
				continue
			}
			if k.by != nil && k.by.column == 0 || k.by != nil && k.by.column != q.targets[i].column {
				fault(n.at, pgerror.AmbiguousColumn, "ORDER BY \"%s\" is ambiguous", n.text)
			}
			k.by = q.targets[i]
		}
	case n.kind == "number":
		i := a.expr(n)
		if i.typ != datum.Int4 {
			fault(n.at, pgerror.SyntaxError, "non-integer constant in ORDER BY")
		}
		at := i.eval(&frame{steps: a.w.Steps}).(int64)
		if at < 1 || at > int64(len(q.targets)) {
			fault(n.at, pgerror.InvalidColumnReference, "ORDER BY position %d is not in select list", at)
		}
		k.by = q.targets[at-1]
	case n.kind == "string", n.kind == "null":
		fault(n.at, pgerror.SyntaxError, "non-integer constant in ORDER BY")
	}
	if k.by == nil {
		k.by = a.expr(n)
	}
	if k.by.typ == datum.Unknown {
		k.by = a.coerce(k.by, datum.Text, implicit, n.at)
	}
	if k.by.typ == datum.Xid {
		fault(n.at, pgerror.UndefinedFunction, "could not identify an ordering operator for type xid")
	}
	return k
}

// bound finds the expression of LIMIT or OFFSET.
func (a *analyzer) bound(n *node, clause string) *expr {
	if n == nil {
		return nil
	}
	a.clause = clause
	e := a.specific(a.expr(n), datum.Int8, clause, assignment)
	if e.columns {
		fault(e.at, pgerror.InvalidColumnReference, "argument of %s must not contain variables", clause)
	}
	return e
}
