package realslot

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestGateWatch: what a proxy that does not use the rule gate does about it.
func TestGateWatch(t *testing.T) {
	held := ruleGateSlot{exists: true, pid: 7, restart: 100}
	free, missing, lost := ruleGateSlot{exists: true, restart: 100}, ruleGateSlot{}, ruleGateSlot{exists: true, lost: true}
	for _, c := range []struct {
		name string
		v    ruleGateView
		want ruleGateMove
	}{
		{"it is used here", ruleGateView{gate: held, used: true, covered: 200}, ruleGateLeave},
		{"another one has it and covers as much", ruleGateView{gate: held, covered: 100}, ruleGateLeave},
		{"another one has it, but this one is to pull", ruleGateView{gate: held, pulls: true, covered: 50}, ruleGateTake},
		{"nobody has it", ruleGateView{gate: free, covered: 50}, ruleGateTake},
		{"it is missing", ruleGateView{gate: missing, covered: 50}, ruleGateTake},
		{"it was invalidated", ruleGateView{gate: lost, covered: 50}, ruleGateDrop},
		{"it was, and the rule is behind", ruleGateView{gate: missing, lost: true, covered: 50, retained: 60}, ruleGateLeave},
		{"it was, and nothing is covered", ruleGateView{gate: missing, lost: true}, ruleGateLeave},
		{"it was, and the rule is satisfied", ruleGateView{gate: missing, lost: true, covered: 60, retained: 60}, ruleGateTake},
		{"somebody's logical slot has its name", ruleGateView{gate: ruleGateSlot{exists: true, foreign: true}, covered: 50}, ruleGateLeave},
	} {
		var g ruleGateWatch
		if got := g.step(time.Now(), c.v); got != c.want {
			t.Errorf("%s: %d, expected %d", c.name, got, c.want)
		}
	}
}

// TestGateWatchPatience: who covers more for ten seconds takes it, and not again at once.
func TestGateWatchPatience(t *testing.T) {
	now := time.Now()
	var g ruleGateWatch
	step := func(after time.Duration, restart, covered uint64, want ruleGateMove) {
		t.Helper()
		v := ruleGateView{gate: ruleGateSlot{exists: true, pid: 7, restart: lsn.LSN(restart)}, covered: lsn.LSN(covered)}
		if got := g.step(now.Add(after), v); got != want {
			t.Errorf("after %s: %d, expected %d", after, got, want)
		}
	}
	step(0, 100, 200, ruleGateLeave)
	step(9*time.Second, 150, 300, ruleGateLeave)
	step(10*time.Second, 200, 400, ruleGateLeave) // it got there: from now on 400 counts
	step(15*time.Second, 300, 500, ruleGateLeave)
	step(20*time.Second, 300, 600, ruleGateTake)
	step(21*time.Second, 300, 700, ruleGateLeave)
	step(29*time.Second, 300, 700, ruleGateLeave)
	step(31*time.Second, 300, 700, ruleGateTake)
}
