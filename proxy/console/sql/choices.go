package sql

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// choose makes coalesce, greatest or least.
func (a *analyzer) choose(n *node) *expr {
	var args []*expr
	for _, kid := range n.kids {
		args = append(args, a.expr(kid))
	}
	t, args, _ := a.common(strings.ToUpper(n.kind), args)
	if t == datum.Xid && n.kind != "coalesce" {
		fault(0, pgerror.UndefinedFunction, "could not identify a comparison function for type xid")
	}
	return loose(t, n.at, func(f *frame) (best datum.Value) {
		for _, e := range args {
			v := e.eval(f)
			switch {
			case v == nil:
			case n.kind == "coalesce":
				return v
			case best == nil, n.kind == "greatest" && datum.Compare(v, best) > 0:
				best = v
			case n.kind == "least" && datum.Compare(v, best) < 0:
				best = v
			}
		}
		return best
	}, args...)
}

// caseOf makes a CASE: of a value, or of conditions.
func (a *analyzer) caseOf(n *node) *expr {
	var of *expr
	keep := nothing
	if n.kids[0] != nil {
		of = a.expr(n.kids[0])
		if refuseWidened(of); of.typ == datum.Unknown {
			of = a.coerce(of, datum.Text, implicit, of.at)
		}
		of, keep = a.keep(of)
	}
	var when []*expr
	results := []*expr{constant(datum.Unknown, nil, n.at)}
	for i := 1; i+1 < len(n.kids); i += 2 {
		w := a.expr(n.kids[i])
		if of != nil {
			w = a.binary("=", of, w, n.kids[i].at)
		}
		when, results = append(when, a.boolean(w, "CASE/WHEN")), append(results, a.expr(n.kids[i+1]))
	}
	if last := n.kids[len(n.kids)-1]; last != nil {
		results[0] = a.expr(last) // PostgreSQL takes it as the one that matters most
	}
	t, results, _ := a.common("CASE", results)
	return loose(t, n.at, func(f *frame) datum.Value {
		keep(f)
		for i, w := range when {
			if w.eval(f) == true {
				return results[i+1].eval(f)
			}
		}
		return results[0].eval(f)
	}, append(when, results...)...)
}

// in makes IN: the items without columns are of one type.
func (a *analyzer) in(n *node) *expr {
	l, keep := a.keep(a.expr(n.kids[0]))
	var items, fixed []*expr
	for _, kid := range n.kids[1:] {
		if e := a.expr(kid); e.columns {
			items = append(items, e)
		} else {
			fixed = append(fixed, e)
		}
	}
	if len(fixed) > 1 {
		if _, out, ok := a.common("", append([]*expr{l}, fixed...)); ok {
			fixed = out[1:]
		}
	}
	op, decides := "=", true
	if n.text == "not" {
		op, decides = "<>", false
	}
	var all []*expr
	for _, item := range append(fixed, items...) {
		all = append(all, a.binary(op, l, item, n.at))
	}
	if len(all) == 1 {
		return after(keep, all[0])
	}
	return loose(datum.Bool, n.at, func(f *frame) datum.Value {
		keep(f)
		var out datum.Value = !decides
		for _, e := range all {
			switch e.eval(f) {
			case decides:
				return decides
			case nil:
				out = nil
			}
		}
		return out
	}, all...)
}

func (a *analyzer) between(n *node) *expr {
	low, high, join := ">=", "<=", "and"
	if n.text == "not" {
		low, high, join = "<", ">", "or"
	}
	of, keep := a.keep(a.expr(n.kids[0]))
	l := a.binary(low, of, a.expr(n.kids[1]), n.at)
	if n.kids[0].kind == "parameter" { // it has a type by now
		of = a.expr(n.kids[0])
	}
	return after(keep, a.logic(join, n.at, l, a.binary(high, of, a.expr(n.kids[2]), n.at)))
}

// sign makes a value of the other sign, or with a plus of the same.
func (a *analyzer) sign(n *node) *expr {
	e := a.expr(n.kids[0])
	refuseWidened(e)
	zero := map[datum.Type]datum.Value{datum.Int4: int64(0), datum.Int8: int64(0), datum.Numeric: datum.Whole(0)}
	if zero[e.typ] == nil || e.typ == datum.Unknown {
		throw(unsupported(n.text+" "+e.typ.String()), n.at)
	}
	if n.text == "+" {
		return e
	}
	return a.binary("-", constant(e.typ, zero[e.typ], n.at), e, n.at)
}
