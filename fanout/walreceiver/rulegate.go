package walreceiver

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ruleGateVersion is the first server_version_num with synchronized_standby_slots.
const ruleGateVersion = 170000

// ruleGateStopWait bounds the time that an upstream that stops may wait for WAL withheld at the rule gate: its logical
// walsenders do so before it writes the shutdown checkpoint. Then the stream ends, and with it their wait.
const ruleGateStopWait = 30 * time.Second

// grant is the rule gate as it is when the stream begins.
type grant struct {
	name    string // "": it is not used
	restart lsn.LSN
	borne   copyboth.HotStandbyFeedback
}

// Why a stream begins anew, or ends, because of the rule gate.
var (
	ErrRuleGate      = errors.New("the slot of slots.rule_gate can be used")
	errRuleGateStops = errors.New("the upstream is shutting down and would wait for what the rule withholds: it is " +
		"left, so that nothing uncovered passes slots.rule_gate")
)

// RuleGateUsable reports whether the present stream could use the rule gate: the upstream is a primary that has
// synchronized_standby_slots, and our own slot is in the care of SQL. Any goroutine may call it.
func (r *Receiver) RuleGateUsable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.ruleGateUsable && r.status.State == Streaming
}

// RuleGated reports whether the present stream uses the rule gate. Any goroutine may call it.
func (r *Receiver) RuleGated() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.RuleGated && r.status.State == Streaming
}

// takeRuleGate decides whether the stream uses the rule gate. It needs our own slot in the care of SQL, which is what
// holds WAL.
func (st *Stream) takeRuleGate(ctx context.Context) {
	r, usable := st.r, st.ruleGateFits()
	r.Update(func(s *Status) { s.ruleGateUsable = usable })
	if !usable {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	name, restart, borne, err := r.o.RuleGate.Take(ctx, st.conn.Endpoint())
	st.ruleGate = grant{name, restart, borne}
	if err != nil {
		st.ruleGate = grant{}
		r.log.Warn("the slot of slots.rule_gate cannot be used: logical consumers that wait for it go on waiting",
			"err", err)
	}
}

// ruleGateFits reports whether the server has a use for the rule gate, which it gets where our own slot is in the care
// of SQL.
func (st *Stream) ruleGateFits() bool {
	return st.r.o.RuleGate != nil && !st.member && st.apart && !st.srv.Virtual && st.srv.Version >= ruleGateVersion &&
		!st.srv.Recovery
}

// ruleGated reports whether the stream uses the rule gate.
func (st *Stream) ruleGated() bool { return st.ruleGate.name != "" }

// giveUpRuleGate gives the rule gate up after START_REPLICATION was refused with it: somebody else was quicker.
func (st *Stream) giveUpRuleGate(why error) {
	st.r.log.Info("streaming without the slot of slots.rule_gate", "slot", st.ruleGate.name, "err", why)
	st.ruleGate = grant{}
	st.r.Update(func(s *Status) { s.RuleGated = false })
}

// lookForStop returns why the upstream is to be left because it shuts down, nil when ctx ends. It is needed where no
// report can release the upstream: the disk is stuck, or the rule withholds at the rule gate the WAL that the upstream
// waits for. A new connection tells: a server whose walsender serves us refuses it with 57P03 for no other reason.
func (st *Stream) lookForStop(ctx context.Context) error {
	r, live := st.r, st.live
	var c stuck
	tick := time.NewTicker(stuckLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-live.ends:
		case <-tick.C:
		}
		now, received := time.Now(), live.receivedEnd()
		stuck := c.step(now, received, r.o.Store.Positions().Flushed, r.o.Store.Paused()) >= stuckAfter
		ended := live.ended.Load()
		if st.ruleGated() && live.reported().Flush < received && r.o.RuleGate.StopsFor(now) >= ruleGateStopWait {
			return errRuleGateStops
		}
		if !stuck && !ended {
			continue
		}
		err := r.o.Probe(ctx, st.conn.Endpoint())
		switch {
		case ctx.Err() != nil || !pgerror.HasCode(err, pgerror.CannotConnectNow):
		case ended:
			return errRuleGateStops
		default:
			return errStopsWithoutUs
		}
	}
}
