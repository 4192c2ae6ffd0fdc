package sql

import (
	"math"
	"strconv"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// How a conversion may come about, as castcontext of pg_cast: an implicit one may happen everywhere.
const (
	implicit = iota + 1
	assignment
	explicit
)

// coerce converts an expression, or returns nil where it cannot be done so. What is Unknown becomes of the type.
func (a *analyzer) coerce(e *expr, to datum.Type, how, at int) *expr {
	switch {
	case e.typ == to:
		return e
	case e.param > 0:
		known := &a.parameters[e.param-1]
		if *known != 0 && *known != datum.Unknown && *known != to {
			fault(e.at, pgerror.AmbiguousParameter,
				"inconsistent types deduced for parameter $%d", e.param)
		}
		*known, e.found = to, true
		out := *e
		out.typ, out.param = to, 0
		return &out
	case e.typ == datum.Unknown && e.null:
		return constant(to, nil, e.at)
	case e.typ == datum.Unknown:
		v, err := datum.Parse(to, e.literal, a.w.Zone)
		if err != nil {
			throw(pgerror.From(err), e.at)
		}
		return constant(to, v, e.at)
	}
	least, f := conversion(e.typ, to)
	if least == 0 || least > how {
		return nil
	}
	from := e.typ
	if from == datum.Timestamptz || to == datum.Timestamptz { // depends on the session's time zone
		volatile := *e
		volatile.constant = false
		e = &volatile
	}
	return a.strict(to, min(at, e.at), func(fr *frame, v values) datum.Value {
		if f == nil {
			return ioConvert(fr, from, to, v[0])
		}
		return f(v[0])
	}, e)
}

// ioConvert converts by way of the text form.
func ioConvert(f *frame, from, to datum.Type, v datum.Value) datum.Value {
	zone := zoneOf(f)
	text := datum.AsText(from, v, zone)
	f.steps.spend(size(text))
	v, err := datum.Parse(to, text, zone)
	if err != nil {
		panic(pgerror.From(err))
	}
	return v
}

// conversion returns in which context a conversion may happen, 0 for never, and how: nil for by its text.
func conversion(from, to datum.Type) (how int, f func(datum.Value) datum.Value) {
	same := func(v datum.Value) datum.Value { return v }
	switch from {
	case datum.Text, datum.Name:
		if to == datum.Text || to == datum.Name {
			return implicit, nil
		}
		return explicit, nil
	case datum.Int4, datum.Int8, datum.OID:
		if how, f = fromInteger(from, to); how > 0 {
			return how, f
		}
	case datum.Numeric:
		switch to {
		case datum.Int4, datum.Int8:
			return assignment, func(v datum.Value) datum.Value {
				n := v.(datum.Number).Round(0).Digits
				if !n.IsInt64() {
					throw(outOfRange(to), 0)
				}
				return fit(to, n.Int64())
			}
		case datum.Float8:
			return implicit, func(v datum.Value) datum.Value { return finite(v.(datum.Number).Float()) }
		}
	case datum.Float8:
		switch to {
		case datum.Int4, datum.Int8:
			return assignment, func(v datum.Value) datum.Value {
				n := math.RoundToEven(v.(float64))
				if n < math.MinInt64 || n >= -math.MinInt64 {
					throw(outOfRange(to), 0)
				}
				return fit(to, int64(n))
			}
		case datum.Numeric:
			return assignment, func(v datum.Value) datum.Value { return toNumber(v.(float64)) }
		}
	case datum.Bool:
		if to == datum.Int4 {
			return explicit, func(v datum.Value) datum.Value { return int64(truth(v.(bool))) }
		}
	}
	switch {
	case from == to:
		return implicit, same
	case to == datum.Text:
		return assignment, nil
	case to == datum.Name:
		return assignment, nil
	}
	return 0, nil
}

func fromInteger(from, to datum.Type) (how int, f func(datum.Value) datum.Value) {
	fits := func(v datum.Value) datum.Value { return fit(to, v.(int64)) }
	switch {
	case to == datum.Int8:
		return implicit, fits
	case to == datum.OID:
		return implicit, func(v datum.Value) datum.Value {
			n := v.(int64)
			if from == datum.Int8 && n != int64(uint32(n)) {
				fault(0, pgerror.NumericOutOfRange, "OID out of range")
			}
			return int64(uint32(n))
		}
	case to == datum.Int4 && from == datum.OID:
		return assignment, func(v datum.Value) datum.Value { return int64(int32(v.(int64))) }
	case to == datum.Int4:
		return assignment, fits
	case from == datum.OID:
		return 0, nil
	case to == datum.Numeric:
		return implicit, func(v datum.Value) datum.Value { return datum.Whole(v.(int64)) }
	case to == datum.Float8:
		return implicit, func(v datum.Value) datum.Value { return float64(v.(int64)) }
	case to == datum.Bool && from == datum.Int4:
		return explicit, func(v datum.Value) datum.Value { return v.(int64) != 0 }
	}
	return 0, nil
}

func outOfRange(t datum.Type) *pgerror.Error {
	return pgerror.New(pgerror.NumericOutOfRange, "%s out of range", t)
}

// fit returns an integer, and throws an error if it is not within its type.
func fit(t datum.Type, n int64) datum.Value {
	if t == datum.Int4 && n != int64(int32(n)) {
		throw(outOfRange(t), 0)
	}
	return n
}

func finite(f float64) datum.Value {
	if math.IsInf(f, 0) {
		fault(0, pgerror.NumericOutOfRange, "value out of range: overflow")
	}
	return f
}

// toNumber returns a float8 with the 15 digits that PostgreSQL takes of it.
func toNumber(f float64) datum.Value {
	v, err := datum.Parse(datum.Numeric, strconv.FormatFloat(f, 'g', 15, 64), nil)
	if err != nil {
		panic(pgerror.From(err))
	}
	return v
}

// cast makes a cast of an operand: its type is the node's text.
func (a *analyzer) cast(n *node) *expr {
	to, e := typeNamed(n), a.expr(n.kids[0])
	out := a.coerce(e, to, explicit, n.at)
	if out == nil {
		fault(n.at, pgerror.CannotCoerce, "cannot cast type %s to %s", e.typ, to)
	}
	moved := *out
	moved.at, moved.column, moved.widened = min(n.at, out.at), 0, false
	return &moved
}

// common finds the one type of several expressions, as PostgreSQL's select_common_type does, and converts them to it.
// context begins its error's words; "": ok is false instead.
func (a *analyzer) common(context string, all []*expr) (t datum.Type, out []*expr, ok bool) {
	t = datum.Unknown
	var first *expr
	plain := false
	for _, e := range all {
		if first == nil && e.typ != datum.Unknown {
			first = e
		}
		plain = plain || e.typ != datum.Unknown && !e.widened
	}
	if first != nil && first.widened && (first.typ == datum.Text || !plain) { // of its type would be all
		refuseWidened(first)
	}
	for _, e := range all {
		switch {
		case e.typ == datum.Unknown || e.typ == t:
		case t == datum.Unknown:
			t = e.typ
		case e.typ.Category() != t.Category() || e.typ.Category() == 'U':
			if context == "" {
				return 0, nil, false
			}
			fault(e.at, pgerror.DatatypeMismatch,
				"%s types %s and %s cannot be matched", context, t, e.typ)
		case !t.Preferred() && converts(t, e.typ) && !converts(e.typ, t):
			t = e.typ
		}
	}
	if t == datum.Unknown {
		t = datum.Text
	}
	for _, e := range all {
		c := a.coerce(e, t, implicit, e.at)
		if c == nil && context == "" {
			return 0, nil, false
		} else if c == nil {
			fault(e.at, pgerror.CannotCoerce, "%s could not convert type %s to %s", context, e.typ, t)
		}
		out = append(out, c)
	}
	return t, out, true
}

// converts reports whether a type becomes another one by itself.
func converts(from, to datum.Type) bool { how, _ := conversion(from, to); return how == implicit }
