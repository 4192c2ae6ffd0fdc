package report

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBehind: a position that is not there is not behind by the whole LSN.
func TestBehind(t *testing.T) {
	for _, c := range []struct {
		position, end lsn.LSN
		want          int64 // -1: none
	}{{lsn.Invalid, 0x5000000, -1}, {lsn.Invalid, lsn.Invalid, -1}, {1, 0x5000000, 0x4ffffff}, {7, 7, 0}, {8, 7, 0}} {
		got := int64(-1)
		if n := behind(c.position, c.end); n != nil {
			got = *n
		}
		if got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.position, c.end, got, c.want)
		}
	}
}
