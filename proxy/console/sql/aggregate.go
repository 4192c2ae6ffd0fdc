package sql

import (
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// aggregate is one call of an aggregate.
type aggregate struct {
	name string
	arg  *expr // nil: count(*)
	sum  datum.Type
}

// aggregate makes a call of count, min, max or sum.
func (a *analyzer) aggregate(n *node) *expr {
	if a.clause != "" {
		fault(n.at, pgerror.GroupingError, "aggregate functions are not allowed in %s", a.clause)
	}
	if a.inside {
		fault(n.at, pgerror.GroupingError, "aggregate function calls cannot be nested")
	}
	g := &aggregate{name: n.text, sum: datum.Int8}
	if n.of != "*" || n.text != "count" {
		if len(n.kids) != 1 {
			throw(unsupported("function "+n.text+" of so many values"), n.at)
		}
		a.inside = true
		g.arg = a.expr(n.kids[0])
		a.inside = false
		refuseWidened(g.arg)
		g.sum = g.result()
		if g.sum == 0 {
			fault(n.at, pgerror.UndefinedFunction, "function %s(%s) does not exist", n.text, g.arg.typ)
		}
		if g.arg.typ == datum.Unknown && g.name != "count" {
			throw(unsupported("function "+n.text+"(unknown)"), n.at)
		}
		if g.arg.typ == datum.Name && g.name != "count" {
			g.arg = a.coerce(g.arg, datum.Text, implicit, g.arg.at)
		}
	}
	a.aggregates = append(a.aggregates, g)
	i := len(a.aggregates) - 1
	return &expr{typ: g.sum, at: n.at, run: func(f *frame) datum.Value { return f.results[i] }}
}

// result returns the type of the aggregate; 0: there is none of its argument.
func (g *aggregate) result() datum.Type {
	switch t := g.arg.typ; {
	case g.name == "count":
		return datum.Int8
	case g.name == "sum":
		return map[datum.Type]datum.Type{
			datum.Int4: datum.Int8, datum.Int8: datum.Numeric, datum.Numeric: datum.Numeric,
			datum.Float8: datum.Float8, datum.Interval: datum.Interval, datum.Unknown: datum.Unknown,
		}[t]
	case t == datum.Name:
		return datum.Text
	case t == datum.Bool || t == datum.Xid:
		return 0
	default:
		return t
	}
}

// over returns the aggregate of rows.
func (g *aggregate) over(rows []*frame) (result datum.Value) {
	count := int64(0)
	for _, f := range rows {
		var v datum.Value = true
		if g.arg != nil {
			v = g.arg.eval(f)
		}
		if v == nil {
			continue
		}
		count++
		if n, ok := v.(int64); ok && g.sum == datum.Numeric {
			v = datum.Whole(n)
		}
		switch {
		case result == nil:
			result = v
		case g.name == "sum":
			result = g.add(result, v)
		case g.name == "min" && datum.Compare(v, result) < 0, g.name == "max" && datum.Compare(v, result) > 0:
			result = v
		}
	}
	if g.name == "count" {
		return count
	}
	return result
}

func (g *aggregate) add(x, y datum.Value) datum.Value {
	switch x := x.(type) {
	case int64:
		return integers(datum.Int8, "+", x, y.(int64))
	case float64:
		return floats("+", x, y.(float64))
	case datum.Span:
		return must(x.Plus(y.(datum.Span)))
	}
	return must(x.(datum.Number).Calculate("+", y.(datum.Number)))
}
