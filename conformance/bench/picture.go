package bench

import (
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/replproxy/replproxy/internal/stamp"
)

// Sizes of the picture in its own units.
const (
	pictureWidth = 960
	labelWidth   = 310
	figureWidth  = 130
	rowHeight    = 19
	panelHead    = 52
	panelFoot    = 30
)

// style has the colours for light and dark, of which a reader's program chooses.
const style = `<style>
svg { color-scheme: light dark; }
.back { fill: #ffffff; } text { fill: #24292f; font: 12px sans-serif; } .title { font: bold 13px sans-serif; }
.small { fill: #57606a; font-size: 11px; }
.grid { stroke: #d0d7de; } .tail { stroke: #57606a; }
.stream { fill: #0969da; } .disk { fill: #bc4c00; } .standby { fill: #1a7f37; } .report { fill: #8250df; }
@media (prefers-color-scheme: dark) {
.back { fill: #0d1117; } text { fill: #e6edf3; } .small { fill: #9198a1; }
.grid { stroke: #3d444d; } .tail { stroke: #9198a1; }
.stream { fill: #4493f8; } .disk { fill: #f0883e; } .standby { fill: #3fb950; } .report { fill: #ab7df8; }
}
</style>
`

// drawn are the legs of the picture: all but the whole way.
var drawn = legs[:len(legs)-1]

// picture draws a time line for each number of clients, as SVG.
func picture(lines []line) string {
	var b strings.Builder
	height := len(lines) * (panelHead + len(drawn)*rowHeight + panelFoot)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 %d %d" width="%d" height="%d">`,
		pictureWidth, height, pictureWidth, height)
	b.WriteString("\n<title>One commit through the proxy, as a time line</title>\n" + style)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d"/>`+"\n", pictureWidth, height)
	for i := range lines {
		lines[i].draw(&b, i*(panelHead+len(drawn)*rowHeight+panelFoot))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// step returns the distance of marks on an axis that ends at end: 1, 2 or 5 times a power of ten, at most eight of
// them.
func step(end time.Duration) time.Duration {
	for s := time.Microsecond; ; s *= 10 {
		for _, m := range []time.Duration{1, 2, 5} {
			if end/(s*m) <= 8 {
				return s * m
			}
		}
	}
}

// draw draws one panel at a height. The axis ends at the p99 of the report, or at three times its p50 if that is less.
// A longer tail is cut off there: its figure tells.
func (l *line) draw(b *strings.Builder, top int) {
	whole := l.offsets[stamp.Reported]
	end := max(min(whole.p99, 3*whole.p50), time.Microsecond)
	room := pictureWidth - labelWidth - figureWidth
	x := func(d time.Duration) float64 {
		return labelWidth + float64(room)*float64(min(max(d, 0), end))/float64(end)
	}
	text := func(x float64, y int, class, anchor, s string) {
		fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%d" text-anchor="%s">%s</text>`+"\n",
			class, x, y, anchor, html.EscapeString(s))
	}
	clients := fmt.Sprintf("%d clients", l.clients)
	if l.clients == 1 {
		clients = "1 client"
	}
	text(8, top+18, "title", "start", fmt.Sprintf("%s: %s µs from readable to reported (p50), %s (p99)",
		clients, micros(whole.p50), micros(whole.p99)))
	text(labelWidth, top+38, "small", "start", "µs since the bytes were readable")
	text(pictureWidth-8, top+38, "small", "end", "leg: p50, p99")
	bottom := top + panelHead + len(drawn)*rowHeight
	stroke := func(class string, x1 float64, y1 int, x2 float64, y2 int) {
		fmt.Fprintf(b, `<line class="%s" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", class, x1, y1, x2, y2)
	}
	for at := time.Duration(0); at <= end; at += step(end) {
		stroke("grid", x(at), top+panelHead-6, x(at), bottom)
		text(x(at), bottom+14, "small", "middle", fmt.Sprint(at.Microseconds()))
	}
	for i, g := range drawn {
		y := top + panelHead + i*rowHeight
		from, to := l.offset(g.from), l.offset(g.to)
		class, _, _ := strings.Cut(g.name, ":")
		text(labelWidth-8, y+12, "label", "end", g.name)
		left, right := x(min(from.p50, to.p50)), x(to.p50)
		stroke("tail", right, y+8, x(to.p99), y+8)
		fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="11"/>`+"\n",
			class, left, y+2, max(right-left, 1.5))
		text(pictureWidth-8, y+12, "small", "end", micros(l.legs[i].p50)+", "+micros(l.legs[i].p99))
	}
}

// offset returns how long after readable a step was reached.
func (l *line) offset(s stamp.Step) span {
	if s == joined {
		return l.joined
	}
	return l.offsets[s]
}
