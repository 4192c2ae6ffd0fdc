package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestResults: a table has the medians of the rounds with half of their range, and ratios to direct.
func TestResults(t *testing.T) {
	r := newResults("t", "case", column{"x", true}, column{name: "y"})
	for _, x := range []float64{10, 30, 20} {
		r.add("a", direct, figures{"x": x, othersColumn: 1})
		r.add("a", ours, figures{"x": 2 * x, "y": 0.5, othersColumn: 1})
	}
	text := r.String()
	for _, want := range []string{
		"| case | target | x | × | y | others, % |",
		"| a | direct | 20.0 ±50 % | 1.00 |  | 1.00 |",
		"| a | replproxy | 40.0 ±50 % | 2.00 | 0.500 ±0 % | 1.00 |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestLags: a probe has arrived with the first message that ends at or behind it. One that never came is late.
func TestLags(t *testing.T) {
	start := time.Unix(1e9, 0)
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	s := &sink{arrivals: []arrival{{100, after(3)}, {200, after(14)}}}
	probes := []probe{{after(0), 50}, {after(10), 200}, {after(20), 300}, {after(99), lsn.LSN(100)}}
	p50, p99, missing := lags(probes, []*sink{s}, start, after(50))
	if p50 != 4 || p99 != 4 || missing != 1 {
		t.Errorf("p50 %v, p99 %v, %d late", p50, p99, missing)
	}
}

// TestCharts: what is drawn is well-formed, has each line, and stays within its panel.
func TestCharts(t *testing.T) {
	r := newResults("t", "standbys")
	for _, n := range []string{"1", "10", "1000"} {
		for _, name := range []string{ours, writer} {
			r.add(n, name, figures{lagP50: 1, lagP99: 20, targetIn: 3, residentMB: 40})
		}
	}
	text := scalePicture(r)
	d := xml.NewDecoder(strings.NewReader(text))
	paths := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			paths++
		}
	}
	if paths != 2*(4+2+2) { // each line, and its sign beside the panel
		t.Errorf("%d lines", paths)
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("a position is no number")
	}
}

// TestTrees: the CPU time of a tree is that of its members, and this process is a member of its own.
func TestTrees(t *testing.T) {
	all := map[int]member{
		1: {pid: 1}, 5: {pid: 5, parent: 1, self: 1}, 6: {pid: 6, parent: 5, self: 2}, 7: {pid: 7, parent: 6}, 8: {pid: 8, parent: 1},
	}
	if got := treeOf(all, 5); len(got) != 3 || treeOf(all, 0) != nil || treeOf(all, 9) != nil {
		t.Errorf("%v", got)
	}
	u := usageOf(0, 0)
	if u.ours <= 0 || u.machine < u.ours {
		t.Errorf("%+v", u)
	}
}
