package sql

import (
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// expr is an expression whose type was found.
type expr struct {
	typ      datum.Type
	run      func(*frame) datum.Value // throws; called by eval
	constant bool
	columns  bool   // it reads a column
	column   int    // the number of the column that it is; 0: none
	literal  string // as long as the type is Unknown
	null     bool   // it is NULL as written
	param    int    // the parameter that it is, as long as the type is Unknown; 0: none
	found    bool   // the type of the parameter was
	widened  bool   // it is a parameter of another type than PostgreSQL would take it for
	at       int
}

// analyzer finds the types of a statement's expressions.
type analyzer struct {
	w            *World
	table, alias string
	columns      []Column
	parameters   []datum.Type
	unknown      []*expr // parameters
	clause       string  // in which aggregates are refused; "": they are taken
	inside       bool    // an aggregate
	aggregates   []*aggregate
	bare         *node // the first column outside of aggregates
	depth        int   // of the expression that is looked at
	slots        int   // how many values are kept for later parts of their expression
}

// maxParameters bounds $n.
const maxParameters = 100

func constant(t datum.Type, v datum.Value, at int) *expr {
	return &expr{typ: t, constant: true, at: at, null: v == nil, run: func(*frame) datum.Value { return v }}
}

// strict makes a call of f, which is NULL where an argument is. It is evaluated at once when all are constants.
func (a *analyzer) strict(t datum.Type, at int, f func(f *frame, v values) datum.Value, args ...*expr) *expr {
	e := loose(t, at, nil, args...)
	e.run = func(fr *frame) datum.Value {
		values := make([]datum.Value, len(args))
		for i, a := range args {
			if values[i] = a.eval(fr); values[i] == nil {
				return nil
			}
		}
		return f(fr, values)
	}
	for _, a := range args {
		if !a.constant {
			return e
		}
	}
	return constant(t, e.eval(&frame{steps: a.w.Steps}), e.at)
}

// loose makes an expression out of others, at the leftmost of their places.
func loose(t datum.Type, at int, run func(*frame) datum.Value, args ...*expr) *expr {
	e := &expr{typ: t, at: at, run: run}
	for _, a := range args {
		e.columns = e.columns || a.columns
		e.at = min(e.at, a.at)
	}
	return e
}

func (a *analyzer) expr(n *node) *expr {
	if a.depth++; a.depth > maxDepth { // a chain of operators, which the parser reads in a loop
		throw(errDeep(), n.at)
	}
	defer func() { a.depth-- }()
	switch n.kind {
	case "column":
		return a.column(n)
	case "string":
		e := constant(datum.Unknown, n.text, n.at)
		e.literal = n.text
		return e
	case "null":
		return constant(datum.Unknown, nil, n.at)
	case "true", "false":
		return constant(datum.Bool, n.kind == "true", n.at)
	case "number":
		return number64(n)
	case "parameter":
		return a.parameter(n)
	case "not":
		e := a.boolean(a.expr(n.kids[0]), "NOT")
		return a.strict(datum.Bool, n.at, func(_ *frame, v values) datum.Value { return !v[0].(bool) }, e)
	case "is":
		return a.is(n)
	case "in":
		return a.in(n)
	case "between":
		return a.between(n)
	case "cast":
		return a.cast(n)
	case "case":
		return a.caseOf(n)
	case "coalesce", "greatest", "least":
		return a.choose(n)
	case "sign":
		return a.sign(n)
	case "op":
		if n.text == "and" || n.text == "or" {
			return a.logic(n.text, n.at, a.expr(n.kids[0]), a.expr(n.kids[1]))
		}
		return a.binary(n.text, a.expr(n.kids[0]), a.expr(n.kids[1]), n.at)
	}
	return a.call(n)
}

func number64(n *node) *expr {
	v, err := strconv.ParseInt(n.text, 10, 64)
	switch {
	case err != nil:
		number, err := datum.Parse(datum.Numeric, n.text, time.UTC)
		if err != nil {
			throw(pgerror.From(err), n.at)
		}
		return constant(datum.Numeric, number, n.at)
	case v == int64(int32(v)):
		return constant(datum.Int4, v, n.at)
	}
	return constant(datum.Int8, v, n.at)
}

func (a *analyzer) column(n *node) *expr {
	name := "\"" + n.text + "\""
	if n.of != "" {
		name = n.of + "." + n.text
		if hidden := n.of == a.table && a.table != ""; n.of != a.alias || a.table == "" {
			text := "missing FROM-clause entry for table \"%s\""
			if hidden {
				text = "invalid reference to FROM-clause entry for table \"%s\""
			}
			fault(n.at, pgerror.UndefinedTable, text, n.of)
		}
	}
	for i, c := range a.columns {
		if c.Name == n.text {
			if !a.inside && a.bare == nil {
				a.bare = n
			}
			run := func(f *frame) datum.Value { return f.row[i] }
			return &expr{typ: c.Type, columns: true, column: i + 1, at: n.at, run: run}
		}
	}
	if n.of == "" && n.text == a.alias && a.table != "" {
		throw(unsupported("a whole row"), n.at)
	}
	fault(n.at, pgerror.UndefinedColumn, "column %s does not exist", name)
	return nil
}

func (a *analyzer) parameter(n *node) *expr {
	i, err := strconv.Atoi(n.text)
	if err != nil || i > maxParameters {
		throw(unsupported("so high a parameter"), n.at)
	}
	if i == 0 {
		fault(n.at, pgerror.UndefinedParameter, "there is no parameter $0")
	}
	for len(a.parameters) < i {
		a.parameters = append(a.parameters, 0)
	}
	e := &expr{typ: a.parameters[i-1], at: n.at, run: func(f *frame) datum.Value { return f.args[i-1] }}
	if e.typ == 0 || e.typ == datum.Unknown {
		e.typ, e.param = datum.Unknown, i
		a.unknown = append(a.unknown, e)
	} else if !e.typ.Known() {
		throw(unsupported("the type of parameter $"+n.text), n.at)
	}
	if as := e.typ.Widened(); as != e.typ {
		e.typ, e.widened = as, true
	}
	return e
}

// refuseWidened throws an error for a parameter that was widened, whose type would be that of a result.
func refuseWidened(all ...*expr) {
	for _, e := range all {
		if e.widened {
			throw(unsupported("a parameter of such a type"), e.at)
		}
	}
}

// specific coerces an expression to the one type that a clause or an operator takes.
func (a *analyzer) specific(e *expr, t datum.Type, clause string, how int) *expr {
	out := a.coerce(e, t, how, e.at)
	if out == nil {
		fault(e.at, pgerror.DatatypeMismatch,
			"argument of %s must be type %s, not type %s", clause, t, e.typ)
	}
	return out
}

func (a *analyzer) boolean(e *expr, clause string) *expr {
	return a.specific(e, datum.Bool, clause, assignment)
}

// logic makes AND or OR of three values.
func (a *analyzer) logic(op string, at int, l, r *expr) *expr {
	name, decides := strings.ToUpper(op), op == "or"
	l, r = a.boolean(l, name), a.boolean(r, name)
	return loose(datum.Bool, at, func(f *frame) datum.Value {
		x := l.eval(f)
		if x == decides {
			return decides
		}
		y := r.eval(f)
		if y == decides || x != nil {
			return y
		}
		return nil
	}, l, r)
}

func (a *analyzer) is(n *node) *expr {
	e := a.expr(n.kids[0])
	what, not := strings.CutPrefix(n.text, "not ")
	switch what {
	case "null":
		return loose(datum.Bool, n.at, func(f *frame) datum.Value { return (e.eval(f) == nil) != not }, e)
	case "distinct":
		l, r := a.comparands("=", e, a.expr(n.kids[1]), n.at)
		return loose(datum.Bool, n.at, func(f *frame) datum.Value {
			x, y := l.eval(f), r.eval(f)
			if x == nil || y == nil {
				return (x == nil) != (y == nil) != not
			}
			return (datum.Compare(x, y) != 0) != not
		}, l, r)
	}
	e = a.boolean(e, "IS "+strings.ToUpper(n.text))
	want := map[string]datum.Value{"true": true, "false": false}[what] // unknown is nil
	return loose(datum.Bool, n.at, func(f *frame) datum.Value { return (e.eval(f) == want) != not }, e)
}
