package compare

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestNewest: what ends beyond the last complete record is not told, and of the rest the newest are.
func TestNewest(t *testing.T) {
	prints := []lsn.Print{{Timeline: 1, LSN: 10, Sum: 1}, {Timeline: 1, LSN: 20, Sum: 2}, {Timeline: 1, LSN: 30, Sum: 3}}
	for _, c := range []struct {
		complete lsn.LSN
		n, from  int
		want     int
	}{{30, 3, 0, 3}, {30, 2, 1, 2}, {29, 2, 0, 2}, {29, 1, 1, 1}, {9, 3, 0, 0}, {30, 0, 3, 0}} {
		if got := Newest(slices.Clone(prints), c.complete, c.n); !slices.Equal(got, prints[c.from:c.from+c.want]) {
			t.Errorf("%d below %s: %v", c.n, c.complete, got)
		}
	}
}

// TestUnread: a start reads the hashes of a few segments that lie below those at hand, and no more than are there.
func TestUnread(t *testing.T) {
	const s = 1 << 20
	at := func(n lsn.LSN) lsn.Print { return lsn.Print{Timeline: 1, LSN: n * s, Sum: uint64(n)} }
	for name, c := range map[string]struct {
		prints      []lsn.Print
		size        lsn.SegSize
		oldest, end lsn.LSN
		n           int
		want        []lsn.LSN
	}{
		"an empty store":             {nil, 0, 0, 0, 9, nil},
		"after a start":              {nil, s, 2 * s, 9*s + 5, 9, []lsn.LSN{9 * s, 8 * s, 7 * s, 6 * s}},
		"the store begins there":     {nil, s, 7 * s, 9*s + 5, 9, []lsn.LSN{9 * s, 8 * s}},
		"it begins within a segment": {nil, s, 7*s + 5, 9 * s, 9, []lsn.LSN{9 * s, 8 * s}},
		"no segment is whole":        {nil, s, 9 * s, 9*s + 5, 9, nil},
		"the first segment of all":   {nil, s, 0, 2 * s, 9, []lsn.LSN{2 * s}},
		"fewer are wanted":           {nil, s, 2 * s, 9 * s, 2, []lsn.LSN{9 * s, 8 * s}},
		"two are at hand":            {[]lsn.Print{at(8), at(9)}, s, 2 * s, 9 * s, 9, []lsn.LSN{7 * s, 6 * s}},
		"enough are at hand":         {[]lsn.Print{at(6), at(7), at(8), at(9)}, s, 2 * s, 9 * s, 9, nil},
	} {
		if got := Unread(c.prints, c.size, c.oldest, c.end, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
