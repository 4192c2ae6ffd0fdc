package walreceiver

import (
	"context"
	"errors"
)

// ErrRuleChanged: a rule was set or taken away, the slot changes hands.
var ErrRuleChanged = errors.New("the rule was set or taken away: streaming begins anew, as the slot changes hands")

// Ruled reports whether a rule limits the reports. Any goroutine may call it.
func (r *Receiver) Ruled() bool {
	_, ruled := r.o.Quorum.Reportable()
	return ruled
}

// holdSlot has HeldSlot hold the slot when there is a rule. Where that can't be done, it follows the
// reports, and what that costs the primary is shown.
func (st *Stream) holdSlot(ctx context.Context) {
	r := st.r
	st.ruled, st.apart = r.Ruled(), false
	if r.o.Slot == "" || r.o.HeldSlot == nil || !st.ruled && r.o.RuleGate == nil || st.foreign {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	restart, err := r.o.HeldSlot.Hold(ctx, st.conn.Endpoint())
	if err != nil {
		r.log.Warn("the slot cannot be advanced by SQL: it follows the reports, and the primary keeps WAL "+
			"while the rule is not satisfied", "slot", r.o.Slot, "err", err)
		return
	}
	st.apart, st.srv.Slot.Restart = true, restart
}
