package walreceiver

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const seg = lsn.LSN(16 << 20)

// fork3: 1 until 5 segments and a bit, 2 until 8 segments sharp, then 3.
var fork3 = lsn.History{Timeline: 3, Parents: []lsn.HistoryEntry{
	{Timeline: 1, Switch: 5*seg + 100}, {Timeline: 2, Switch: 8 * seg},
}}

func on(tli lsn.TimelineID, end lsn.LSN) walstore.Positions {
	return walstore.Positions{Timeline: tli, Oldest: seg, Received: end, Written: end, Flushed: end}
}

// Where the slot's position is not told, a flush of what the server lacks is not waited for.
func TestSlotFloor(t *testing.T) {
	three := Server{Timeline: 3, History: fork3}
	told := Server{Timeline: 3, History: fork3, Slot: SlotStart{Restart: 6 * seg}}
	for name, c := range map[string]struct {
		have walstore.Positions
		srv  Server
		want lsn.LSN
	}{
		"told":                        {on(3, 9*seg), told, 6 * seg},
		"not told":                    {on(3, 9*seg), three, 9 * seg},
		"before the fork":             {on(1, 4*seg), three, 4 * seg},
		"forked below":                {on(1, 7*seg), three, 5*seg + 100},
		"forked below, next timeline": {on(2, 9*seg), three, 8 * seg},
		"empty store":                 {walstore.Positions{}, three, 0},
	} {
		if got := slotFloor(c.have, c.srv); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]time.Duration{"1min": time.Minute, "60s": time.Minute, "500ms": 500 * time.Millisecond,
		"0": 0, "2h": 2 * time.Hour, "1d": 24 * time.Hour} {
		if d, err := parseTime(in); err != nil || d != want {
			t.Errorf("%s: %s, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "5", "x", "1 min", "-1s", "99999999999s"} {
		if _, err := parseTime(in); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}
