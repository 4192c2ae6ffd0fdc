package walreceiver

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// gateVersion is the first server_version_num with synchronized_standby_slots.
const gateVersion = 170000

// gateStopWait bounds the time that an upstream that stops may wait for WAL withheld at the gate: its logical
// walsenders do so before it writes the shutdown checkpoint. Then the stream ends, and with it their wait.
const gateStopWait = 30 * time.Second

// RuleGate is a slot of the upstream's synchronized_standby_slots that the stream uses, so that logical consumers there
// get what the rule covers (ruling R45). Other members of the cluster may have it.
type RuleGate interface {
	// Take asks the server at e whether the stream may use the slot, and makes it where it is missing. It ends a
	// session that holds the slot where that is this proxy's to do. It tells the slot's name, "" if it is not to be
	// used now, its restart_lsn and what it bears.
	Take(ctx context.Context, e upstream.Endpoint) (
		name string, restart lsn.LSN, borne copyboth.HotStandbyFeedback, err error)
	// StopsFor returns the time since the server lets nobody in because it stops; 0: it lets in, or was not asked.
	StopsFor(now time.Time) time.Duration
}

// grant is the gate as it is when the stream begins.
type grant struct {
	name    string // "": it is not used
	restart lsn.LSN
	borne   copyboth.HotStandbyFeedback
}

// Why a stream begins anew, or ends, because of the gate.
var (
	ErrGate      = errors.New("the slot of slots.rule_gate can be used")
	errGateStops = errors.New("the upstream is shutting down and would wait for what the rule withholds: it is left, " +
		"so that nothing uncovered passes slots.rule_gate")
)

// GateUsable reports whether the present stream could use the gate: the upstream is a primary that has
// synchronized_standby_slots, and our own slot is in the care of SQL. Any goroutine may call it.
func (r *Receiver) GateUsable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.gateUsable && r.status.State == Streaming
}

// Gated reports whether the present stream uses the gate. Any goroutine may call it.
func (r *Receiver) Gated() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.Gated && r.status.State == Streaming
}

// takeGate decides whether the stream uses the gate. It needs our own slot in the care of SQL, which is what holds WAL.
func (st *Stream) takeGate(ctx context.Context) {
	r, usable := st.r, st.gateFits()
	r.Update(func(s *Status) { s.gateUsable = usable })
	if !usable {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	name, restart, borne, err := r.o.RuleGate.Take(ctx, st.conn.Endpoint())
	st.gate = grant{name, restart, borne}
	if err != nil {
		st.gate = grant{}
		r.log.Warn("the slot of slots.rule_gate cannot be used: logical consumers that wait for it go on waiting",
			"err", err)
	}
}

// gateFits reports whether the server has a use for the gate, which it gets where our own slot is in the care of SQL.
func (st *Stream) gateFits() bool {
	return st.r.o.RuleGate != nil && !st.member && st.apart && !st.srv.Virtual && st.srv.Version >= gateVersion &&
		!st.srv.Recovery
}

// gated reports whether the stream uses the gate.
func (st *Stream) gated() bool { return st.gate.name != "" }

// ungate gives the gate up after START_REPLICATION was refused with it: somebody else was quicker.
func (st *Stream) ungate(why error) {
	st.r.log.Info("streaming without the slot of slots.rule_gate", "slot", st.gate.name, "err", why)
	st.gate = grant{}
	st.r.Update(func(s *Status) { s.Gated = false })
}

// lookForStop returns why the upstream is to be left because it shuts down, nil when ctx ends. It is needed where no
// report can release the upstream: the disk is stuck, or the rule withholds at the gate the WAL that the upstream waits
// for. A new connection tells: a server whose walsender serves us refuses it with 57P03 for no other reason.
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
		if st.gated() && live.reported().Flush < received && r.o.RuleGate.StopsFor(now) >= gateStopWait {
			return errGateStops
		}
		if !stuck && !ended {
			continue
		}
		err := r.o.Probe(ctx, st.conn.Endpoint())
		switch {
		case ctx.Err() != nil || !pgerror.HasCode(err, pgerror.CannotConnectNow):
		case ended:
			return errGateStops
		default:
			return errStopsWithoutUs
		}
	}
}
