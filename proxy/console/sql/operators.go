package sql

import (
	"math"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

func noOperator(op string, l, r *expr, at int) {
	fault(at, pgerror.UndefinedFunction, "operator does not exist: %s %s %s", l.typ, op, r.typ)
}

// binary makes the application of an operator that stands at a place.
func (a *analyzer) binary(op string, l, r *expr, at int) *expr {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=":
		l, r = a.comparands(op, l, r, at)
		return a.strict(datum.Bool, at, func(_ *frame, v values) datum.Value {
			c := datum.Compare(v[0], v[1])
			return c == 0 && strings.Contains(op, "=") || c < 0 && op[0] == '<' || c > 0 && strings.Contains(op, ">")
		}, l, r)
	case "~~", "!~~", "~~*", "!~~*":
		if !isText(l) || !isText(r) {
			noOperator(op, l, r, at)
		}
		if l.typ == datum.Unknown && r.typ == datum.Name {
			l = a.coerce(l, datum.Text, implicit, l.at)
		}
		l, r = a.coerce(l, datum.Text, implicit, l.at), a.coerce(r, datum.Text, implicit, r.at)
		return a.strict(datum.Bool, at, func(f *frame, v values) datum.Value {
			s, pattern := v[0].(string), v[1].(string)
			if strings.HasSuffix(op, "*") {
				s, pattern = lower(s), lower(pattern)
			}
			return like(s, pattern, f.steps) != (op[0] == '!')
		}, l, r)
	case "||":
		if !isText(l) && !isText(r) {
			throw(unsupported("operator "+op), at)
		}
		l, r = a.coerce(l, datum.Text, explicit, l.at), a.coerce(r, datum.Text, explicit, r.at)
		return a.strict(datum.Text, at, func(f *frame, v values) datum.Value {
			f.steps.spend(size(v[0]) + size(v[1]))
			return v[0].(string) + v[1].(string)
		}, l, r)
	}
	if strings.Contains("+-*/%", op) && len(op) == 1 {
		if out := a.arithmetic(op, l, r, at); out != nil {
			return out
		}
	}
	throw(unsupported("operator "+l.typ.String()+" "+op+" "+r.typ.String()), at)
	return nil
}

func isText(e *expr) bool {
	return e.typ == datum.Text || e.typ == datum.Name || e.typ == datum.Unknown
}

// comparands converts both sides of a comparison to the type whose order decides.
func (a *analyzer) comparands(op string, l, r *expr, at int) (*expr, *expr) {
	if l.typ == datum.Unknown && r.typ == datum.Int4 || l.typ == datum.Int4 && r.typ == datum.Unknown {
		refuseWidened(l, r) // the other one would become a smallint
	}
	t := comparable(l.typ, r.typ)
	if t == 0 || (l.typ == datum.Xid || r.typ == datum.Xid) && op != "=" && op != "<>" {
		noOperator(op, l, r, at)
	}
	left, right := a.coerce(l, t, implicit, l.at), a.coerce(r, t, implicit, r.at)
	if t == datum.Xid && r.typ == datum.Int4 { // xid = int4 needs no cast
		right = r
	}
	if left == nil || right == nil {
		noOperator(op, l, r, at)
	}
	return left, right
}

// comparable returns the type as which two types are compared; 0: they are not.
func comparable(l, r datum.Type) datum.Type {
	switch {
	case l == r && l != datum.Unknown:
		return l
	case l == datum.Unknown && r == datum.Unknown:
		return datum.Text
	case l == datum.Unknown:
		return r
	case r == datum.Unknown || l == datum.Xid && r == datum.Int4:
		return l
	case l.Category() == 'S' && r.Category() == 'S':
		return datum.Text
	}
	if l.Category() != 'N' || r.Category() != 'N' {
		return 0
	}
	for _, t := range []datum.Type{datum.OID, datum.Float8, datum.Numeric, datum.Int8} {
		if l == t || r == t {
			return t
		}
	}
	return datum.Int4
}

// arithmetic makes a sum, difference, product, quotient or remainder; nil: it is not had here.
func (a *analyzer) arithmetic(op string, l, r *expr, at int) *expr {
	if l.typ == datum.Unknown && r.typ == datum.Unknown {
		return nil
	}
	to := func(lt, rt, result datum.Type, f func(*frame, values) datum.Value) *expr {
		return a.strict(result, at, f, a.coerce(l, lt, implicit, l.at), a.coerce(r, rt, implicit, r.at))
	}
	if l.widened && (r.widened || r.typ == datum.Unknown) || r.widened && l.typ == datum.Unknown {
		return nil // the result would be a smallint
	}
	unknown := l.typ == datum.Unknown || r.typ == datum.Unknown
	number := func(e *expr) bool {
		return e.typ.Category() == 'N' && converts(e.typ, datum.Numeric) || e.typ == datum.Numeric
	}
	plus, minus := op == "+", op == "-"
	switch {
	case minus && (l.typ == datum.LSN || r.typ == datum.LSN) && (l.typ == r.typ || unknown):
		return to(datum.LSN, datum.LSN, datum.Numeric, lsnDifference)
	case (plus || minus) && l.typ == datum.LSN && (number(r) || plus && r.typ == datum.Unknown):
		return to(datum.LSN, datum.Numeric, datum.LSN, func(_ *frame, v values) datum.Value {
			return moveLSN(op, v[0], v[1])
		})
	case plus && r.typ == datum.LSN && number(l):
		return to(datum.Numeric, datum.LSN, datum.LSN, func(_ *frame, v values) datum.Value {
			return moveLSN(op, v[1], v[0])
		})
	case minus && (l.typ == datum.Timestamptz || r.typ == datum.Timestamptz) && (l.typ == r.typ || unknown):
		return to(datum.Timestamptz, datum.Timestamptz, datum.Interval,
			func(_ *frame, v values) datum.Value { return datum.Since(v[0].(time.Time), v[1].(time.Time)) })
	case (plus || minus) && l.typ == datum.Timestamptz && (r.typ == datum.Interval || plus && r.typ == datum.Unknown):
		return to(datum.Timestamptz, datum.Interval, datum.Timestamptz, func(f *frame, v values) datum.Value {
			return moveTime(f, op, v[0], v[1])
		})
	case plus && l.typ == datum.Interval && r.typ == datum.Timestamptz:
		return to(datum.Interval, datum.Timestamptz, datum.Timestamptz, func(f *frame, v values) datum.Value {
			return moveTime(f, op, v[1], v[0])
		})
	case (plus || minus) && (l.typ == datum.Interval || r.typ == datum.Interval) && (l.typ == r.typ || unknown):
		return to(datum.Interval, datum.Interval, datum.Interval, func(_ *frame, v values) datum.Value {
			s := v[1].(datum.Span)
			if minus {
				s = must(s.Minus())
			}
			return must(v[0].(datum.Span).Plus(s))
		})
	}
	t := comparable(l.typ, r.typ)
	switch {
	case t == datum.Int4 || t == datum.Int8:
		return to(t, t, t, func(_ *frame, v values) datum.Value {
			return integers(t, op, v[0].(int64), v[1].(int64))
		})
	case t == datum.Numeric:
		return to(t, t, t, func(f *frame, v values) datum.Value {
			f.steps.spend(size(v[0]) * size(v[1]))
			return must(v[0].(datum.Number).Calculate(op, v[1].(datum.Number)))
		})
	case t == datum.Float8 && op != "%":
		return to(t, t, t, func(_ *frame, v values) datum.Value {
			return floats(op, v[0].(float64), v[1].(float64))
		})
	}
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(pgerror.From(err))
	}
	return v
}

func errZero() *pgerror.Error { return pgerror.New(pgerror.DivisionByZero, "division by zero") }

func integers(t datum.Type, op string, x, y int64) datum.Value {
	n, ok := x, true
	switch op {
	case "+":
		n = x + y
		ok = (n > x) == (y > 0)
	case "-":
		n = x - y
		ok = (n < x) == (y > 0)
	case "*":
		n = x * y
		ok = x == 0 || n/x == y && (x != -1 || y != math.MinInt64)
	default:
		if y == 0 {
			throw(errZero(), 0)
		}
		if n, ok = x/y, y != -1 || x != math.MinInt64; op == "%" {
			n, ok = x%y, true
		}
	}
	if !ok {
		throw(outOfRange(t), 0)
	}
	return fit(t, n)
}

func floats(op string, x, y float64) datum.Value {
	switch op {
	case "+":
		return finite(x + y)
	case "-":
		return finite(x - y)
	case "*":
		return finite(x * y)
	}
	if y == 0 {
		throw(errZero(), 0)
	}
	return finite(x / y)
}

func lsnDifference(_ *frame, v values) datum.Value {
	x, y := lsnNumber(v[0]), lsnNumber(v[1])
	return must(x.Calculate("-", y))
}

func lsnNumber(v datum.Value) datum.Number {
	n := datum.Whole(0)
	n.Digits.SetUint64(uint64(v.(lsn.LSN)))
	return n
}

func moveLSN(op string, at, by datum.Value) datum.Value {
	n := must(lsnNumber(at).Calculate(op, by.(datum.Number))).Round(0).Digits
	if !n.IsUint64() {
		fault(0, pgerror.InvalidParameterValue, "pg_lsn out of range")
	}
	return lsn.LSN(n.Uint64())
}

func moveTime(f *frame, op string, at, by datum.Value) datum.Value {
	s := by.(datum.Span)
	if op == "-" {
		s = must(s.Minus())
	}
	return must(datum.After(at.(time.Time), s, zoneOf(f)))
}

// zoneOf returns the session's time zone. What is evaluated before it runs depends on none.
func zoneOf(f *frame) *time.Location {
	if f.w == nil {
		return time.UTC
	}
	return f.w.Zone
}
