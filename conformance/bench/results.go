package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// column is one figure of a measurement.
type column struct {
	name  string
	ratio bool // whether it is also shown as a ratio to direct
}

// figures are those of one measurement, by the names of columns.
type figures map[string]float64

// results gathers the measurements of a run: cases by targets, round by round.
type results struct {
	title   string
	what    string // the cases' common name
	columns []column
	cases   []string
	targets []string
	got     map[[2]string][]figures
}

// othersColumn is measured with everything: who else used the machine meanwhile, in %.
const othersColumn = "others, %"

func newResults(title, what string, columns ...column) *results {
	columns = append(columns, column{name: othersColumn})
	return &results{title: title, what: what, columns: columns, got: map[[2]string][]figures{}}
}

// add takes one measurement of a target.
func (r *results) add(name, target string, f figures) {
	if !slices.Contains(r.cases, name) {
		r.cases = append(r.cases, name)
	}
	if !slices.Contains(r.targets, target) {
		r.targets = append(r.targets, target)
	}
	k := [2]string{name, target}
	r.got[k] = append(r.got[k], f)
}

// values returns a column's figures of all rounds.
func (r *results) values(name, target, column string) (v []float64) {
	for _, f := range r.got[[2]string{name, target}] {
		if x, ok := f[column]; ok {
			v = append(v, x)
		}
	}
	return v
}

// middleOf returns the median of the rounds; ok is false when there is none.
func (r *results) middleOf(name, target, column string) (m float64, ok bool) {
	v := r.values(name, target, column)
	if len(v) == 0 {
		return 0, false
	}
	return median(slices.Clone(v)), true
}

// median sorts v.
func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// ratioTo returns a target's median as a ratio to another one's.
func (r *results) ratioTo(name, target, base, column string) (float64, bool) {
	m, ok1 := r.middleOf(name, target, column)
	b, ok2 := r.middleOf(name, base, column)
	return m / b, ok1 && ok2 && b != 0
}

// spread returns half of the range of the rounds as a share of their median.
func spread(v []float64) float64 {
	m := median(slices.Clone(v))
	if m == 0 {
		return 0
	}
	return (slices.Max(v) - slices.Min(v)) / 2 / math.Abs(m)
}

// figure writes a number with three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// String returns the table: medians of the rounds with their spread, and ratios to the primary itself.
func (r *results) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Median of %d rounds in turn, ± half of their range.", r.title, rounds())
	if slices.ContainsFunc(r.columns, func(c column) bool { return c.ratio }) {
		fmt.Fprintf(&b, " ×: ratio to %s.", direct)
	}
	b.WriteString("\n\n")
	head := []string{r.what, "target"}
	for _, c := range r.columns {
		head = append(head, c.name)
		if c.ratio {
			head = append(head, "×")
		}
	}
	heading(&b, head...)
	for _, name := range r.cases {
		for _, target := range r.targets {
			if r.got[[2]string{name, target}] != nil {
				row(&b, append([]string{name, target}, r.cells(name, target)...)...)
			}
		}
	}
	return b.String()
}

func (r *results) cells(name, target string) (cells []string) {
	for _, c := range r.columns {
		cell, ratio := "", ""
		if m, ok := r.middleOf(name, target, c.name); ok {
			cell = figure(m)
			if v := r.values(name, target, c.name); len(v) > 1 && c.name != othersColumn {
				cell += fmt.Sprintf(" ±%.0f %%", 100*spread(v))
			}
		}
		cells = append(cells, cell)
		if c.ratio {
			if x, ok := r.ratioTo(name, target, direct, c.name); ok {
				ratio = fmt.Sprintf("%.2f", x)
			}
			cells = append(cells, ratio)
		}
	}
	return cells
}

// print shows the table.
func (r *results) print() { fmt.Print("\n" + r.String()) }
