package walstore

import "testing"

// TestRoom: a small volume keeps a hundredth free for what is written between two looks, a large one no more than a
// disk can take.
func TestRoom(t *testing.T) {
	const gb = 1 << 30
	for _, c := range []struct{ total, free, minFree, want int64 }{
		{10 * gb, 5 * gb, gb, 4*gb - 10*gb/100},
		{1000 * gb, 5 * gb, gb, 4*gb - writtenAhead},
		{10 * gb, gb, gb, -10 * gb / 100},
		{0, 0, 0, 0},
	} {
		if got := Room(c.total, c.free, c.minFree); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
