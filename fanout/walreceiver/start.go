package walreceiver

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
)

const (
	// commandTimeout bounds each command, or batch of commands, before WAL flows: the server
	// answers from memory or from one small file.
	commandTimeout = 30 * time.Second
	// slotBusyWait bounds how long a connection waits for a slot that an older session holds; then
	// it gives its walsender back and tries anew. slotBusyDelay lies between two tries.
	slotBusyWait  = 5 * time.Second
	slotBusyDelay = 250 * time.Millisecond
)

// Start asks for WAL from p on. copying false: the timeline ended where we are, next names the new one.
func (st *Stream) Start(ctx context.Context, p StartPoint) (copying bool, next StartPoint, err error) {
	if st.live == nil {
		st.live = newLive(&st.r.totals)
	}
	copying, next, err = st.startReplication(ctx, p)
	if err != nil {
		return false, next, err
	}
	if st.rp == nil {
		st.rp = st.newReporter()
	}
	st.rp.core.recovery = st.srv.Recovery // anew: a promotion ends the timeline, not the connection
	return copying, next, nil
}

// startReplication asks for the stream, waiting a while for a slot that is still held by an older
// session of ours (facts G).
func (st *Stream) startReplication(ctx context.Context, p StartPoint) (copying bool, next StartPoint, err error) {
	slot := st.r.o.Slot
	if st.slotless() {
		slot = ""
	}
	if st.ruleGated() {
		slot = st.ruleGate.name
	}
	for began := time.Now(); ; {
		sctx, cancel := context.WithTimeout(ctx, commandTimeout)
		copying, next, err = st.conn.Start(sctx, slot, p)
		cancel()
		if st.ruleGated() && pgerror.HasCode(err, pgerror.ObjectInUse, pgerror.UndefinedObject) {
			st.giveUpRuleGate(err)
			return st.startReplication(ctx, p)
		}
		if !pgerror.HasCode(err, pgerror.ObjectInUse) || time.Since(began) > slotBusyWait {
			return copying, next, err
		}
		st.r.Update(func(s *Status) { s.SlotState, s.LastError = SlotBusy, err.Error() })
		if err := deadline.Sleep(ctx, slotBusyDelay); err != nil {
			return false, next, err
		}
	}
}

func (st *Stream) newReporter() *reporter {
	r, now := st.r, time.Now()
	var floor lsn.LSN
	switch { // without a slot reports move none
	case st.ruleGated():
		floor = st.ruleGate.restart
	case !st.slotless():
		floor = slotFloor(r.o.Store.Positions(), st.srv)
	}
	writeFor := r.o.Timeout
	if writeFor <= 0 {
		writeFor = DefaultTimeout
	}
	return &reporter{
		conn: st.conn, store: r.o.Store, quorum: r.o.Quorum, feedback: r.o.Feedback, live: st.live,
		writeFor: writeFor, promise: r.promise, written: st.newWritten(), mirrors: &r.mirrors, log: r.log,
		ruled: st.ruled, choice: r.o.Slot != "" && r.o.HeldSlot != nil && !st.member && r.o.RuleGate == nil,
		core: core{
			interval: r.o.StatusInterval, senderTimeout: senderTimeout(st.srv.Settings), timeout: r.o.Timeout,
			uneasy: st.uneasy, ruleGated: st.ruleGated(),
			floor: floor, sent: now, heard: now, greet: now.Add(greetAfter),
		},
		hs:      feedbackCore{interval: r.o.StatusInterval, slotless: st.slotless(), borne: st.borne},
		catalog: st.catalogBeside,
	}
}

// slotFloor returns the position below which no flush is to be reported, so that it moves no slot back (ruling R12).
// Where restart_lsn is not told, the durable WAL here ends at or beyond it, and its end is returned. If the server's
// timeline left that WAL before, only the common part is WAL that the slot can stand for: the fork is returned.
func slotFloor(have walstore.Positions, srv Server) lsn.LSN {
	if srv.Slot.Restart != 0 {
		return srv.Slot.Restart
	}
	if fork, _, ok := srv.History.SwitchPoint(have.Timeline); ok {
		return min(have.Flushed, fork)
	}
	return have.Flushed
}
