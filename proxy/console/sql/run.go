package sql

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// values are those of a row, or of arguments.
type values []datum.Value

// frame has the values on which an expression is evaluated.
type frame struct {
	w         *World
	row, args []datum.Value
	results   []datum.Value // of aggregates
	kept      []datum.Value // of operands that are evaluated once and read several times
	steps     *Steps
}

// Run returns the rows of the answer. args has a value for each of Parameters. The error is a *pgerror.Error.
func (q *Query) Run(w *World, args []datum.Value) (rows [][]datum.Value, err error) {
	defer catch(&err)
	w = w.metered()
	kept := make([]datum.Value, q.slots) // each is stored before it is read, row by row
	on := func(row []datum.Value) *frame {
		return &frame{w: w, row: row, args: args, kept: kept, steps: w.Steps}
	}
	offset, limit := q.count(q.offset, on(nil)), q.count(q.limit, on(nil))
	source := [][]datum.Value{nil}
	if q.table != "" {
		source = w.Rows(q.table)
	}
	var frames []*frame
	for _, row := range source {
		f := on(row)
		if q.where == nil || q.where.eval(f) == true {
			frames = append(frames, f)
		}
	}
	if len(q.aggregates) > 0 {
		f := on(nil)
		for _, g := range q.aggregates {
			f.results = append(f.results, g.over(frames))
		}
		frames = []*frame{f}
	}
	type output struct{ row, keys []datum.Value }
	var all []output
	for _, f := range frames {
		o := output{row: []datum.Value{}}
		for _, e := range q.targets {
			o.row = append(o.row, e.eval(f))
		}
		for _, k := range q.keys {
			o.keys = append(o.keys, k.by.eval(f))
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(x, y output) int {
		for i, k := range q.keys {
			w.Steps.spend(1)
			if c := k.compare(x.keys[i], y.keys[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	for i, o := range all {
		if (offset == nil || int64(i) >= *offset) && (limit == nil || int64(len(rows)) < *limit) {
			rows = append(rows, o.row)
		}
	}
	return rows, nil
}

func (k key) compare(x, y datum.Value) int {
	if x == nil || y == nil {
		c := cmp.Compare(truth(x == nil), truth(y == nil))
		if k.nullsFirst {
			c = -c
		}
		return c
	}
	if k.down {
		return datum.Compare(y, x)
	}
	return datum.Compare(x, y)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// count evaluates LIMIT or OFFSET; nil: it bounds nothing.
func (q *Query) count(e *expr, f *frame) *int64 {
	if e == nil {
		return nil
	}
	n, ok := e.eval(f).(int64)
	switch {
	case !ok:
		return nil
	case n < 0 && e == q.limit:
		fault(0, pgerror.InvalidLimit, "LIMIT must not be negative")
	case n < 0:
		fault(0, pgerror.InvalidOffset, "OFFSET must not be negative")
	}
	return &n
}
