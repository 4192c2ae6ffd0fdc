package realslot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// ruleGateFreeWait bounds the wait for a slot whose walsender was told to end; ruleGateFreeLook lies between two
	// looks.
	ruleGateFreeWait = 2 * time.Second
	ruleGateFreeLook = 20 * time.Millisecond
)

// RuleGateOptions are the options of NewRuleGate; all are required.
type RuleGateOptions struct {
	Upstream Dialer
	Slot     string         // its name
	Name     string         // this proxy's application_name at the server
	Usable   func() bool    // the present stream could use it
	Used     func() bool    // the present stream uses it
	Covered  func() lsn.LSN // what the rule lets this proxy report of flush
	Flushed  func() lsn.LSN // what its store has flushed
	Pulls    func() bool    // no other member of the cluster is to stream from the server
	Free     func()         // told that streaming is to begin anew, with the rule gate
	Logger   *slog.Logger
}

// RuleGate looks after the slot of slots.rule_gate (ruling R45), one of the primary's synchronized_standby_slots. The
// stream of one member of the cluster uses it, so that it follows the position that the rule covers. [ProxySlot] calls
// it at each of its rounds. Methods may be called from any goroutine. Make it with [NewRuleGate].
type RuleGate struct {
	o RuleGateOptions

	mu     sync.Mutex
	watch  ruleGateWatch
	status RuleGateStatus
	lostAt upstream.Endpoint // where it was invalidated, until it is used there again
	force  bool              // the next Take ends who holds it
	remake bool              // the next Take makes one that was invalidated anew
	ended  time.Time         // when a session of it was ended last
	stops  time.Time         // since when the server lets nobody in; zero: it does
}

// RuleGateStatus is the rule gate as the server showed it last.
type RuleGateStatus struct {
	Slot      string
	Known     bool // the rest is
	Exists    bool
	ActivePID int32
	Holder    string  // application_name of the session that uses it
	Restart   lsn.LSN // Invalid: it reserves nothing, and who waits for it waits
	HeldBytes int64
	State     string // wal_status
	Safe      *int64 // safe_wal_size; nil without max_slot_wal_keep_size
	Lost      bool   // it was invalidated, and waits for the rule to be satisfied
	Foreign   bool   // it is a logical or a temporary slot: the stream cannot use it
	Taken     int64  // how often another session of it was ended
}

// NewRuleGate makes a RuleGate that has seen nothing.
func NewRuleGate(o RuleGateOptions) *RuleGate {
	return &RuleGate{o: o, status: RuleGateStatus{Slot: o.Slot}}
}

// Status returns the present state.
func (g *RuleGate) Status() RuleGateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status
}

// ruleGateSlot is the rule gate in one answer.
type ruleGateSlot struct {
	exists, lost, foreign bool // foreign: a logical or temporary one
	pid                   int32
	name                  string // application_name of the session that uses it
	restart               lsn.LSN
	horizon               Horizon
}

func (s ruleGateSlot) ours() bool { return !s.foreign }

// look asks for the rule gate and remembers its status. The zero ruleGateSlot: there is none.
func (g *RuleGate) look(ctx context.Context, s *upstream.Session) (ruleGateSlot, error) {
	answers, err := s.QueryAll(ctx,
		"SELECT s.active_pid, s.restart_lsn, s.xmin, s.catalog_xmin, s.wal_status, s.safe_wal_size, "+
			"pg_catalog.pg_wal_lsn_diff("+lookEnd+", s.restart_lsn)::bigint, s.slot_type, s.temporary, "+
			"a.application_name FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a "+
			"ON a.pid = s.active_pid WHERE s.slot_name = "+grammar.QuoteLiteral(g.o.Slot), lookNext)
	for _, a := range answers {
		if err == nil {
			err = a.Err
		}
	}
	if err != nil {
		return ruleGateSlot{}, fmt.Errorf("look at slot %q: %w", g.o.Slot, err)
	}
	var at ruleGateSlot
	st := RuleGateStatus{Slot: g.o.Slot, Known: true}
	next := copyboth.FullXID(number(answers[1].Results[0].Rows[0][0], 64))
	for _, row := range answers[0].Results[0].Rows {
		at = ruleGateSlot{
			exists: true, lost: string(row[4]) == "lost",
			foreign: string(row[7]) != "physical" || string(row[8]) == "t",
			pid:     int32(number(row[0], 32)), name: string(row[9]),
			horizon: Horizon{full(uint32(number(row[2], 32)), next), full(uint32(number(row[3], 32)), next)},
		}
		if row[1] != nil {
			if at.restart, err = lsn.Parse(string(row[1])); err != nil {
				return at, fmt.Errorf("look at slot %q: %w", g.o.Slot, err)
			}
		}
		st.Exists, st.ActivePID, st.Restart, st.State = true, at.pid, at.restart, string(row[4])
		st.Holder, st.Foreign = at.name, at.foreign
		st.HeldBytes = max(0, int64(number(row[6], 63)))
		if safe, err := strconv.ParseInt(string(row[5]), 10, 64); err == nil {
			st.Safe = &safe
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.lost {
		g.lostAt = s.Endpoint
	}
	st.Taken, st.Lost = g.status.Taken, g.lostAt == s.Endpoint
	g.status = st
	return at, nil
}

// Take asks the server at e whether the stream that begins may use the rule gate, and makes the rule gate where it is
// missing. It ends a session that holds the rule gate where that is this proxy's to do. It tells the slot's name, "" if
// it is not to be used now, its restart_lsn and what it bears.
func (g *RuleGate) Take(ctx context.Context, e upstream.Endpoint) (
	name string, restart lsn.LSN, borne copyboth.HotStandbyFeedback, err error,
) {
	s, err := sql(ctx, pinned{g.o.Upstream, e})
	if err != nil {
		return "", 0, borne, err
	}
	defer s.Close()
	at, err := g.look(ctx, s)
	if err != nil {
		return "", 0, borne, err
	}
	g.mu.Lock()
	// Two that take themselves for the puller must not end each other without pause.
	ends := g.force || at.name == g.o.Name || g.o.Pulls() && time.Since(g.ended) >= ruleGatePatience
	lost := g.lostAt == e && !g.remake
	g.force, g.remake = false, false
	g.mu.Unlock()
	switch {
	case at.foreign:
		return "", 0, borne, fmt.Errorf("slot %q there is a logical or a temporary one", g.o.Slot)
	case at.lost, lost:
		return "", 0, borne, g.drop(ctx, s, at) // 17 lets it be streamed from, and it would follow nothing
	case !at.exists:
		// Without a position: it gets one by the first report. A reserved one begins beyond what the rule covers.
		err := do(ctx, nil, s, action{createShut, g.o.Slot}, 0)
		if refusedAs(err, pgerror.DuplicateObject) {
			err = nil // another member was quicker
		}
		if err != nil {
			return "", 0, borne, fmt.Errorf("create slot %q: %w", g.o.Slot, err)
		}
		g.o.Logger.Info("the slot of slots.rule_gate was made", "slot", g.o.Slot)
	case at.pid != 0 && !ends:
		return "", 0, borne, nil
	case at.pid != 0:
		if at, err = g.end(ctx, s, at); err != nil {
			return "", 0, borne, err
		}
	}
	borne = copyboth.HotStandbyFeedback{Xmin: at.horizon.Xmin, CatalogXmin: at.horizon.CatalogXmin}
	return g.o.Slot, at.restart, borne, nil
}

// end ends the session that holds the rule gate, and waits until the rule gate is free.
func (g *RuleGate) end(ctx context.Context, s *upstream.Session, at ruleGateSlot) (ruleGateSlot, error) {
	ctx, cancel := context.WithTimeout(ctx, ruleGateFreeWait)
	defer cancel()
	g.o.Logger.Info("another session holds the slot of slots.rule_gate: it is ended", "slot", g.o.Slot,
		"active_pid", at.pid, "application_name", at.name, "restart_lsn", at.restart)
	// Only while it is this slot's: the pid may be another's by now.
	_, err := s.Query(ctx, fmt.Sprintf("SELECT pg_catalog.pg_terminate_backend(active_pid) FROM "+
		"pg_catalog.pg_replication_slots WHERE slot_name = %s AND active_pid = %d",
		grammar.QuoteLiteral(g.o.Slot), at.pid))
	if err != nil {
		return at, fmt.Errorf("end the session that holds slot %q: %w", g.o.Slot, err)
	}
	g.mu.Lock()
	g.status.Taken++
	g.ended = time.Now()
	g.mu.Unlock()
	for tick := time.NewTicker(ruleGateFreeLook); ; {
		if at, err = g.look(ctx, s); err != nil || at.pid == 0 {
			tick.Stop()
			return at, err
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return at, fmt.Errorf("slot %q is still active for PID %d", g.o.Slot, at.pid)
		case <-tick.C:
		}
	}
}

// drop removes a rule gate that was invalidated; any other stays, and nil is returned. One that is gone by then is no
// error.
func (g *RuleGate) drop(ctx context.Context, s *upstream.Session, at ruleGateSlot) error {
	if !at.lost {
		return nil
	}
	g.o.Logger.Warn("the primary has invalidated the slot of slots.rule_gate: logical consumers wait until the rule "+
		"is satisfied, then it is made anew", "slot", g.o.Slot)
	err := do(ctx, nil, s, action{drop, g.o.Slot}, 0)
	if refusedAs(err, pgerror.UndefinedObject) {
		return nil
	}
	return err
}

// round looks at the rule gate over s, a session at the server on which own is this proxy's slot. It drops a rule gate
// that was invalidated. It takes one that is free or held wrongly: who holds it is ended, and streaming begins anew
// with it. With elsewhere, this proxy streams from another member: then it only looks, as while the stream could not
// use the rule gate. It blocks for ruleGateFreeWait at most, beside the questions.
func (g *RuleGate) round(ctx context.Context, s *upstream.Session, own shownSlot, elsewhere bool) error {
	at, err := g.look(ctx, s)
	if err != nil || elsewhere || !g.o.Usable() {
		return err
	}
	v := ruleGateView{
		gate: at, used: g.o.Used(), pulls: g.o.Pulls(), covered: min(g.o.Covered(), g.o.Flushed()),
		retained: own.Restart,
	}
	g.mu.Lock()
	v.lost = g.lostAt == s.Endpoint
	if v.used && !at.lost {
		g.lostAt, g.status.Lost = upstream.Endpoint{}, false
	}
	move := g.watch.step(time.Now(), v)
	g.mu.Unlock()
	switch move {
	case ruleGateLeave:
		return nil
	case ruleGateDrop:
		return g.drop(ctx, s, at)
	}
	if at.pid != 0 { // here, where a refusal costs no stream
		if _, err := g.end(ctx, s, at); err != nil {
			return err
		}
	}
	g.mu.Lock()
	g.force, g.remake = at.pid != 0, v.lost // the one that was ended may come back before us
	g.mu.Unlock()
	g.o.Free()
	return nil
}

// asked notes whether the server let us in.
func (g *RuleGate) asked(now time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !refusedAs(err, pgerror.CannotConnectNow):
		g.stops = time.Time{}
	case g.stops.IsZero():
		g.stops = now
	}
}

// StopsFor returns the time for which the server has let nobody in because it stops; 0: it does.
func (g *RuleGate) StopsFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stops.IsZero() {
		return 0
	}
	return now.Sub(g.stops)
}

func refusedAs(err error, code pgerror.Code) bool {
	var e *pgerror.Error
	return errors.As(err, &e) && e.Code == code
}
