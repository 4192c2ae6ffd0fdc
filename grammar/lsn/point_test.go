package lsn

import "testing"

func TestLack(t *testing.T) {
	h := History{Timeline: 4, Parents: []HistoryEntry{{Timeline: 1, Switch: 100}, {Timeline: 3, Switch: 200}}}
	for _, c := range []struct {
		name  string
		h     History
		end   LSN
		p     Point
		from  LSN
		lacks bool
	}{
		{"nothing is known", h, 300, Point{Timeline: 9}, 0, false},
		{"as far as it goes", h, 300, Point{Timeline: 4, LSN: 300}, 300, false},
		{"beyond", h, 300, Point{Timeline: 4, LSN: 301}, 300, true},
		{"up to the fork", h, 300, Point{Timeline: 1, LSN: 100}, 100, false},
		{"beyond the fork", h, 300, Point{Timeline: 1, LSN: 101}, 100, true},
		{"beyond a later one", h, 300, Point{Timeline: 3, LSN: 250}, 200, true},
		{"the end is below the fork", h, 150, Point{Timeline: 3, LSN: 160}, 150, true},
		{"a timeline that it left out", h, 300, Point{Timeline: 2, LSN: 50}, 0, true},
		{"a later timeline", h, 300, Point{Timeline: 5, LSN: 50}, 0, true},
		{"of some timeline, below all forks", h, 300, Point{LSN: 100}, 100, false},
		{"of some timeline, beyond the first", h, 300, Point{LSN: 101}, 100, true},
		{"the only timeline", History{Timeline: 1}, 300, Point{LSN: 301}, 300, true},
		{"and it has it", History{Timeline: 1}, 300, Point{LSN: 300}, 300, false},
	} {
		from, lacks := c.h.Lack(c.end, c.p)
		if lacks != c.lacks || from != c.from {
			t.Errorf("%s: %s, %v", c.name, from, lacks)
		}
	}
}
