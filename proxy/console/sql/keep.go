package sql

import "github.com/replproxy/replproxy/proxy/console/datum"

// nothing keeps no value.
func nothing(*frame) {}

// keep makes an operand that is read several times cost one evaluation: read has its value once store has run. What is
// as cheap to evaluate stays as it is.
func (a *analyzer) keep(e *expr) (read *expr, store func(*frame)) {
	if e.constant || e.param > 0 || e.column > 0 {
		return e, nothing
	}
	i := a.slots
	a.slots++
	out := *e
	out.run = func(f *frame) datum.Value { return f.kept[i] }
	return &out, func(f *frame) { f.kept[i] = e.eval(f) }
}

// after returns an expression that is evaluated once store has run.
func after(store func(*frame), e *expr) *expr {
	if e.constant {
		return e
	}
	out := *e
	out.run = func(f *frame) datum.Value {
		store(f)
		return e.run(f)
	}
	return &out
}
