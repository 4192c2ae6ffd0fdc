package sql

import (
	"math/bits"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// The bounds of a statement. Whoever may open the console may ask anything, and must not stop the proxy by it.
const (
	// maxDepth bounds how deep expressions nest, chains of operators included, for the stack's sake: a level takes some
	// 2 kB of it. PostgreSQL takes more, and nobody writes that.
	maxDepth = 1000
	// maxNodes bounds the operands and operators of a statement: each takes some 500 bytes.
	maxNodes = 10_000
	// maxTargets is PostgreSQL's MaxTupleAttributeNumber.
	maxTargets = 1664
	// maxSteps bounds the work for a message of the client: half a second of one core. A step is an operand of a row,
	// a comparison to sort, a character in LIKE, or eight bytes of a text. 10,000 sessions by 50 operands are 500,000.
	maxSteps = 4 << 20
	// stepsPerLook counts the steps between two checks of the session's end: a millisecond.
	stepsPerLook = 1 << 12
)

// Steps counts the work of evaluating statements. Make it with [NewSteps]. It is not safe for concurrent use.
type Steps struct {
	left, look int
	ended      func() error
}

// NewSteps returns the steps of one message. ended returns an error when nobody waits for the answer anymore.
func NewSteps(ended func() error) *Steps {
	return &Steps{left: maxSteps, look: maxSteps - stepsPerLook, ended: ended}
}

// spend takes steps, and throws an error when there are none left.
func (s *Steps) spend(n int) {
	if s.left -= n; s.left > s.look {
		return
	}
	if s.left < 0 {
		throw(errComplex(), 0)
	}
	if s.look = s.left - stepsPerLook; s.ended() != nil {
		fault(0, pgerror.QueryCanceled, "canceling statement due to user request")
	}
}

// metered returns a world that has steps.
func (w *World) metered() *World {
	if w.Steps != nil {
		return w
	}
	out := *w
	out.Steps = NewSteps(func() error { return nil })
	return &out
}

// eval evaluates an expression.
func (e *expr) eval(f *frame) datum.Value {
	f.steps.spend(1)
	return e.run(f)
}

// size returns how many steps a copy of a value costs.
func size(v datum.Value) int {
	switch x := v.(type) {
	case string:
		return len(x)/8 + 1
	case datum.Number:
		return x.Digits.BitLen()/bits.UintSize + 1
	}
	return 1
}

// count counts a part of an expression, and throws an error when there are too many.
func (p *parser) count() {
	if p.nodes++; p.nodes > maxNodes {
		throw(errComplex(), p.peek().at)
	}
}

// few throws PostgreSQL's error of too many output columns.
func few(targets, at int) {
	if targets > maxTargets {
		fault(at, pgerror.TooManyColumns, "target lists can have at most %d entries", maxTargets)
	}
}

func errComplex() *pgerror.Error {
	return pgerror.New(pgerror.StatementTooComplex, "statement too complex")
}

func errDeep() *pgerror.Error {
	return pgerror.New(pgerror.StatementTooComplex, "stack depth limit exceeded")
}
