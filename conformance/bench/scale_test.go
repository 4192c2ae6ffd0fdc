package bench

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crowds are the numbers of standbys of BenchmarkScale.
func crowds() []int { return []int{1, 4, 16, 64, 250, 1000} }

// scaleCommits is the number of commits a second of the scale scenario.
const scaleCommits = 10

// Columns of the scale scenario beside those of live WAL.
const (
	residentMB = "memory, MB"
	goroutines = "goroutines"
)

// BenchmarkScale: 1 to 1,000 simulated standbys of one proxy, at a quarter of the rate at which the plain writer sends
// old WAL to a thousand. The whole run writes docs/scale.svg and its part of docs/performance.md.
func BenchmarkScale(b *testing.B) {
	a := newArena(b)
	most := crowds()[len(crowds())-1]
	start, end := a.fill(32)
	limit := a.plainWriter(start, end)
	a.targets = []*target{limit}
	var rates []float64
	for range rounds() {
		took, bytes := a.receive(limit.conninfo(), most, start, start+4<<20)
		rates = append(rates, float64(bytes)/took.Seconds())
	}
	rate := median(rates) / float64(most) / 4
	a.targets = nil
	a.startProfiled(ours)
	a.targets = append(a.targets, a.start(writer))
	title := fmt.Sprintf("Live, %.2f MB/s in %d commits a second: a quarter of the %.0f MB/s that the plain writer sends to %d",
		rate/1e6, scaleCommits, median(rates)/1e6, most)
	r := newResults(title, "standbys", column{name: lagP50}, column{name: lagP99}, column{name: targetIn}, column{name: residentMB},
		column{name: goroutines}, column{name: gotIn}, column{name: missed})
	for round := range rounds() {
		for _, n := range crowds() {
			for _, t := range a.inTurn(round) {
				a.measure(r, strconv.Itoa(n), t, func(stop func() usage) figures {
					var m memory
					f := a.liveRound(t, n, rate, scaleCommits, time.Duration(seconds(3))*time.Second, func() usage {
						if m.resident = residentOf(t.pid); t.proxy != nil {
							m = memoryOf(b, t.proxy)
						}
						return stop()
					})
					f[residentMB] = float64(m.resident) / (1 << 20)
					if t.proxy != nil {
						f[goroutines] = float64(m.goroutines)
					}
					return f
				})
			}
		}
	}
	r.print()
	if scale() >= 1024 {
		publish(b, scalePart, r.String(), scalePicture(r))
	}
}

// scalePicture draws how figures grow with the number of standbys.
func scalePicture(r *results) string {
	panel := func(title string, columns ...string) chart {
		c := chart{title: title}
		for _, name := range columns {
			for _, t := range []string{ours, writer} {
				s := series{name: t, dashed: t == writer}
				if len(columns) > 1 {
					s.name += ", " + strings.TrimPrefix(strings.TrimSuffix(name, ", ms"), "lag ")
				}
				for _, n := range r.cases {
					x, _ := strconv.ParseFloat(n, 64)
					if y, ok := r.middleOf(n, t, name); ok {
						s.points = append(s.points, [2]float64{x, y})
					}
				}
				c.series = append(c.series, s)
			}
		}
		return c
	}
	return charts("Growth with the number of standbys", []chart{
		panel("lag of a commit, ms", lagP50, lagP99), panel("CPU, % of a core", targetIn), panel("resident memory, MB", residentMB),
	})
}
