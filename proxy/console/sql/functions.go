package sql

import (
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// call makes a call of a function. Those without arguments are the caller's, but for now.
func (a *analyzer) call(n *node) *expr {
	if has(" count min max sum ", n.text) && n.kind == "call" {
		return a.aggregate(n)
	}
	if n.of == "*" {
		throw(unsupported(n.text+"(*)"), n.at)
	}
	if n.of == "()" {
		if n.text == "now" || n.text == "current_timestamp" {
			return loose(datum.Timestamptz, n.at, func(f *frame) datum.Value { return f.w.Now })
		}
		t, _, ok := a.w.Call(n.text)
		if !ok {
			throw(unsupported("function "+n.text+"()"), n.at)
		}
		return loose(t, n.at, func(f *frame) datum.Value {
			_, v, _ := f.w.Call(n.text)
			if e, failed := v.(*pgerror.Error); failed {
				throw(e, 0)
			}
			f.steps.spend(size(v))
			return v
		})
	}
	var args []*expr
	for _, kid := range n.kids {
		args = append(args, a.expr(kid))
	}
	takes := func(types ...datum.Type) bool {
		if len(args) != len(types) {
			return false
		}
		for i, t := range types {
			if args[i].typ != datum.Unknown && args[i].typ != t && !converts(args[i].typ, t) {
				return false
			}
		}
		for i, t := range types {
			args[i] = a.coerce(args[i], t, implicit, args[i].at)
		}
		return true
	}
	switch {
	case n.kind == "nullif":
		return a.nullif(n, args)
	case n.kind == "extract" && args[0].typ == datum.Interval && takes(datum.Interval):
		return a.strict(datum.Numeric, n.at, func(_ *frame, v values) datum.Value {
			return v[0].(datum.Span).Epoch()
		}, args...)
	case n.kind == "extract" && args[0].typ == datum.Timestamptz && takes(datum.Timestamptz):
		return a.strict(datum.Numeric, n.at, func(_ *frame, v values) datum.Value {
			return datum.Scaled(v[0].(time.Time).UnixMicro(), 6)
		}, args...)
	case n.text == "pg_wal_lsn_diff" && takes(datum.LSN, datum.LSN):
		return a.strict(datum.Numeric, n.at, lsnDifference, args...)
	case n.text == "current_setting" && takes(datum.Text):
		return a.setting(n.at, args[0], nil)
	case n.text == "current_setting" && takes(datum.Text, datum.Bool):
		return a.setting(n.at, args[0], args[1])
	case n.text == "pg_lsn" && len(args) == 1 && args[0].typ == datum.Unknown && args[0].param == 0:
		return a.coerce(args[0], datum.LSN, explicit, n.at)
	}
	throw(unsupported("function "+n.text), n.at)
	return nil
}

// setting makes a call of current_setting.
func (a *analyzer) setting(at int, args ...*expr) *expr {
	if args[1] == nil {
		args[1] = constant(datum.Bool, false, at)
	}
	return a.strict(datum.Text, at, func(f *frame, v values) datum.Value {
		value, ok := f.w.Setting(v[0].(string))
		switch {
		case ok:
			return value
		case v[1] == true:
			return nil
		}
		panic(pgerror.New(pgerror.UndefinedObject, "unrecognized configuration parameter \"%s\"", v[0]))
	}, loose(datum.Text, at, args[0].eval, args[0]), args[1])
}

func (a *analyzer) nullif(n *node, args []*expr) *expr {
	refuseWidened(args...)
	of, keep := a.keep(args[0])
	l, r := a.comparands("=", of, args[1], n.at)
	result := l
	if t := of.typ; t == datum.Name || t == datum.Int4 && l.typ == datum.Int8 {
		result = of
	}
	return loose(result.typ, n.at, func(f *frame) datum.Value {
		keep(f)
		x, y := l.eval(f), r.eval(f)
		if x != nil && y != nil && datum.Compare(x, y) == 0 {
			return nil
		}
		if result == l {
			return x
		}
		return result.eval(f)
	}, l, r)
}
