package realslot

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestGateWatch: what a proxy that does not use the gate does about it.
func TestGateWatch(t *testing.T) {
	held := gateSlot{exists: true, pid: 7, restart: 100}
	free, missing, lost := gateSlot{exists: true, restart: 100}, gateSlot{}, gateSlot{exists: true, lost: true}
	for _, c := range []struct {
		name string
		v    gateView
		want gateMove
	}{
		{"it is used here", gateView{gate: held, used: true, covered: 200}, gateLeave},
		{"another one has it and covers as much", gateView{gate: held, covered: 100}, gateLeave},
		{"another one has it, but this one is to pull", gateView{gate: held, pulls: true, covered: 50}, gateTake},
		{"nobody has it", gateView{gate: free, covered: 50}, gateTake},
		{"it is missing", gateView{gate: missing, covered: 50}, gateTake},
		{"it was invalidated", gateView{gate: lost, covered: 50}, gateDrop},
		{"it was, and the rule is behind", gateView{gate: missing, lost: true, covered: 50, retained: 60}, gateLeave},
		{"it was, and nothing is covered", gateView{gate: missing, lost: true}, gateLeave},
		{"it was, and the rule is satisfied", gateView{gate: missing, lost: true, covered: 60, retained: 60}, gateTake},
		{"somebody's logical slot has its name", gateView{gate: gateSlot{exists: true, foreign: true}, covered: 50}, gateLeave},
	} {
		var g gateWatch
		if got := g.step(time.Now(), c.v); got != c.want {
			t.Errorf("%s: %d, expected %d", c.name, got, c.want)
		}
	}
}

// TestGateWatchPatience: who covers more for ten seconds takes it, and not again at once.
func TestGateWatchPatience(t *testing.T) {
	now := time.Now()
	var g gateWatch
	step := func(after time.Duration, restart, covered uint64, want gateMove) {
		t.Helper()
		v := gateView{gate: gateSlot{exists: true, pid: 7, restart: lsn.LSN(restart)}, covered: lsn.LSN(covered)}
		if got := g.step(now.Add(after), v); got != want {
			t.Errorf("after %s: %d, expected %d", after, got, want)
		}
	}
	step(0, 100, 200, gateLeave)
	step(9*time.Second, 150, 300, gateLeave)
	step(10*time.Second, 200, 400, gateLeave) // it got there: from now on 400 counts
	step(15*time.Second, 300, 500, gateLeave)
	step(20*time.Second, 300, 600, gateTake)
	step(21*time.Second, 300, 700, gateLeave)
	step(29*time.Second, 300, 700, gateLeave)
	step(31*time.Second, 300, 700, gateTake)
}
