package bench

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// series is one line of a chart.
type series struct {
	name   string
	dashed bool
	points [][2]float64 // by x
}

// chart is a panel of lines over a number of standbys. Both axes are logarithmic.
type chart struct {
	title  string
	series []series
}

// Sizes of a chart in its own units.
const (
	chartWidth  = 960
	chartHeight = 260
	chartLeft   = 60
	chartRight  = 190
	chartTop    = 34
	chartBottom = 36
)

// colours of the lines, of which a reader's program has those for light and dark.
func colours() []string { return []string{"stream", "disk", "standby", "report"} }

// chartStyle draws lines in the colours of style.
const chartStyle = `<style>
path { fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 5 4; }
path.stream { fill: none; stroke: #0969da; } path.disk { fill: none; stroke: #bc4c00; }
path.standby { fill: none; stroke: #1a7f37; } path.report { fill: none; stroke: #8250df; }
@media (prefers-color-scheme: dark) {
path.stream { stroke: #4493f8; } path.disk { stroke: #f0883e; }
path.standby { stroke: #3fb950; } path.report { stroke: #ab7df8; }
}
</style>
`

// charts draws panels one below the other, as SVG.
func charts(title string, all []chart) string {
	var b strings.Builder
	height := len(all) * chartHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 %d %d" width="%d" height="%d">`,
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, "\n<title>%s</title>\n%s%s", html.EscapeString(title), style, chartStyle)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d"/>`+"\n", chartWidth, height)
	for i := range all {
		all[i].draw(&b, i*chartHeight)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// axis maps values to a stretch of the picture, by their logarithms.
type axis struct{ low, high, from, to float64 }

func newAxis(values []float64, from, to float64) axis {
	a := axis{math.Inf(1), math.Inf(-1), from, to}
	for _, v := range values {
		if v > 0 {
			a.low, a.high = min(a.low, math.Log10(v)), max(a.high, math.Log10(v))
		}
	}
	if a.high-a.low < 0.1 {
		a.low, a.high = a.low-0.5, a.high+0.5
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*(math.Log10(max(v, math.Pow(10, a.low)))-a.low)/(a.high-a.low)
}

// marks returns round values within the axis.
func (a axis) marks() (all []float64) {
	for e := math.Floor(a.low); e <= a.high; e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); math.Log10(v) >= a.low-1e-9 && math.Log10(v) <= a.high+1e-9 {
				all = append(all, v)
			}
		}
	}
	return all
}

// draw draws one panel at a height.
func (c *chart) draw(b *strings.Builder, top int) {
	var xs, ys []float64
	for _, s := range c.series {
		for _, p := range s.points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	left, right := float64(chartLeft), float64(chartWidth-chartRight)
	high, low := float64(top+chartTop), float64(top+chartHeight-chartBottom)
	x, y := newAxis(xs, left, right), newAxis(ys, low, high)
	text := func(x, y float64, class, anchor, s string) {
		fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n",
			class, x, y, anchor, html.EscapeString(s))
	}
	stroke := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", x1, y1, x2, y2)
	}
	text(8, float64(top+18), "title", "start", c.title)
	for _, v := range x.marks() {
		stroke(x.at(v), high, x.at(v), low)
		text(x.at(v), low+16, "small", "middle", fmt.Sprint(v))
	}
	for _, v := range y.marks() {
		stroke(left, y.at(v), right, y.at(v))
		text(left-6, y.at(v)+4, "small", "end", figure(v))
	}
	text(right, low+30, "small", "end", "standbys")
	for i, s := range c.series {
		class := colours()[i%len(colours())]
		if s.dashed {
			class += " dashed"
		}
		var path strings.Builder
		for j, p := range s.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(j, 1)], x.at(p[0]), y.at(p[1]))
		}
		fmt.Fprintf(b, `<path class="%s" d="%s"/>`+"\n", class, path.String())
		at := high + 14 + float64(i)*20
		fmt.Fprintf(b, `<path class="%s" d="M%.1f %.1fh24"/>`+"\n", class, right+14, at-4)
		text(right+44, at, "small", "start", s.name)
	}
}
