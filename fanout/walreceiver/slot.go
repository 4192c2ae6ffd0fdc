package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// readSlotVersion is the first server_version_num that has READ_REPLICATION_SLOT.
const readSlotVersion = 150000

// prepareSlot makes sure that the slot exists and reserves WAL, and notes in srv where it begins
// (15+). A slot of that name that reserves nothing protects nothing: nobody but this proxy uses it,
// so it is made anew (facts G: an invalidated slot lets one stream and loses WAL all the same).
func (r *Receiver) prepareSlot(ctx context.Context, s *upstream.Session, srv *server) (SlotState, error) {
	if r.o.Slot == "" {
		return SlotNone, nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	q := slotCommands{s, r.o.Slot, srv.version}
	if srv.version < readSlotVersion {
		state, err := q.prepareBlind(ctx, r.slotLost, r.o.MayUse)
		if state == SlotRecreated {
			r.log.Warn("upstream slot reserved no WAL, it was made anew", "slot", r.o.Slot)
		}
		return state, err
	}
	found, err := q.read(ctx, srv)
	if refusedWith(err, pgerror.FeatureNotSupported) { // a logical one
		return SlotForeign, nil
	}
	if err != nil {
		return SlotUnknown, err
	}
	if err := mayUse(r.o.MayUse, found); err != nil {
		return SlotUnknown, err
	}
	state := SlotFound
	if found && (srv.slotRestart == 0 || r.slotLost) {
		r.log.Warn("upstream slot reserves no WAL, making it anew", "slot", r.o.Slot)
		if err := q.drop(ctx); err != nil {
			return SlotUnknown, err
		}
		found, state = false, SlotRecreated
	} else if !found {
		state = SlotCreated
	}
	if found {
		return state, nil
	}
	if _, err := q.create(ctx); err != nil {
		return SlotUnknown, err
	}
	_, err = q.read(ctx, srv)
	return state, err
}

// mayUse asks ask, if there is one.
func mayUse(ask func(exists bool) error, exists bool) error {
	if ask == nil {
		return nil
	}
	return ask(exists)
}

// droppedBySomebody is what the log says when the slot was there before and had to be made again.
const droppedBySomebody = "somebody dropped the slot on the primary: it was made anew; tell who manages slots there " +
	"to leave it alone (Patroni: ignore_slots)"

// judgeSlot says what it means that the slot had to be made: where it was before, somebody dropped it. That is known
// of the server that had it at the connection before; after a start, of a primary of the timeline that the store
// ends on, which was streamed from before, when the slot had the same name.
func (r *Receiver) judgeSlot(s *upstream.Session, srv server, state SlotState) SlotState {
	at, have := r.slotAt, r.o.Store.Positions()
	r.slotAt, r.foreign = s.Endpoint, state == SlotForeign
	same := at.Host == s.Endpoint.Host && at.Port == s.Endpoint.Port
	first := at == upstream.Endpoint{} && s.Parameters["in_hot_standby"] == "off"
	switch {
	case state == SlotForeign:
		r.slotAt = upstream.Endpoint{}
		r.log.Warn("a logical slot on the upstream has the name of this proxy's: streaming without one, and the "+
			"upstream keeps no WAL for this proxy; drop it there, or name another one in upstream.slot",
			"slot", r.o.Slot)
	case state == SlotCreated && first && r.o.EarlierSlot != "":
		r.log.Warn("the slot has another name than when this store was used before: it was made, and the one of the "+
			"earlier name holds WAL on the primary until it is dropped there", "slot", r.o.Slot,
			"earlier", r.o.EarlierSlot)
	case state == SlotCreated && have.Received != lsn.Invalid && have.Timeline == srv.timeline && (same || first):
		state = SlotDropped
		if now := time.Now(); now.Sub(r.saidDrop) >= repeatLog { // a manager may drop it whenever it is made
			r.saidDrop = now
			r.log.Warn(droppedBySomebody, "slot", r.o.Slot, "restart_lsn", srv.slotRestart,
				"flushed_lsn", have.Flushed, "wal_may_be_missing", srv.slotRestart > have.Flushed)
		}
		r.update(func(st *Status) { st.SlotDrops, st.DroppedAt = st.SlotDrops+1, time.Now() })
	}
	return state
}

// slotless reports whether the stream does without a slot.
func (r *Receiver) slotless() bool { return !r.gated() && (r.o.Slot == "" || r.apart || r.foreign) }

// SlotKeeper holds a slot on the upstream by SQL, so that under a rule acknowledgment and retention are
// apart (ruling R8): the slot follows what the store has flushed, whatever the reports say.
type SlotKeeper interface {
	// Hold makes sure that the slot exists on the server at e and reserves WAL, tells from where, and
	// advances it from then on, until Release. It may make the slot anew.
	Hold(ctx context.Context, e upstream.Endpoint) (restart lsn.LSN, err error)
	Release()
	// Bears asks the server at e what the slot holds back there of xmin and catalog_xmin.
	Bears(ctx context.Context, e upstream.Endpoint) (copyboth.HotStandbyFeedback, error)
	// CatalogXmin is what the slot bears of it while it is held, 0 for none. It is cheap.
	CatalogXmin() copyboth.FullXID
}

// errRuleChanged: a rule was set or taken away, the slot changes hands.
var errRuleChanged = errors.New("the rule was set or taken away: streaming begins anew, as the slot changes hands")

func (r *Receiver) hasRule() bool { return r.o.Quorum != nil && r.o.Quorum.Limits().Ruled }

// holdSlot gives the slot to the keeper when there is a rule. Where that can't be done, it follows the
// reports, and what that costs the primary is shown.
func (r *Receiver) holdSlot(ctx context.Context, s *upstream.Session, srv *server, state SlotState) SlotState {
	r.ruled, r.apart = r.hasRule(), false
	if r.o.Slot == "" || r.o.Keeper == nil || !r.ruled && r.o.RuleGate == nil || r.foreign {
		return state
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	restart, err := r.o.Keeper.Hold(ctx, s.Endpoint)
	if err != nil {
		r.log.Warn("the slot cannot be advanced by SQL: it follows the reports, and the primary keeps WAL "+
			"while the rule is not satisfied", "slot", r.o.Slot, "err", err)
		return state
	}
	r.apart, srv.slotRestart = true, restart
	return state
}

func (r *Receiver) letSlotGo() {
	if r.apart {
		r.o.Keeper.Release()
	}
}

// slotCommands speaks about one slot in one server's dialect.
type slotCommands struct {
	s       *upstream.Session
	name    string
	version int
}

// prepareBlind is for 14, which can't be asked: creating tells by its refusal that there is one.
func (q slotCommands) prepareBlind(ctx context.Context, lost bool, ask func(bool) error) (SlotState, error) {
	if lost {
		if err := q.drop(ctx); err != nil {
			return SlotUnknown, err
		}
	}
	created, err := q.create(ctx)
	if err == nil {
		err = mayUse(ask, !created)
	}
	switch {
	case err != nil:
		return SlotUnknown, err
	case created && lost:
		return SlotRecreated, nil
	case created:
		return SlotCreated, nil
	}
	return SlotFound, nil
}

// read asks for the slot. All NULL means that there is none; a NULL position, that it reserves nothing.
func (q slotCommands) read(ctx context.Context, srv *server) (found bool, err error) {
	res, err := q.s.Query(ctx, grammar.Render(&grammar.ReadSlot{Name: q.name}, grammar.Version(q.version)))
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	row, err := oneRow(res, 3)
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	srv.slotRestart, srv.slotTLI = 0, 0
	if row[0] == nil {
		return false, nil
	}
	if row[1] == nil {
		return true, nil
	}
	if srv.slotRestart, err = lsn.Parse(string(row[1])); err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	tli, err := strconv.ParseUint(string(row[2]), 10, 32)
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	srv.slotTLI = lsn.TimelineID(tli)
	return true, nil
}

// create reports false when there is one already.
func (q slotCommands) create(ctx context.Context) (bool, error) {
	command := grammar.Render(&grammar.CreateSlot{Name: q.name, ReserveWAL: true}, grammar.Version(q.version))
	_, err := q.s.Query(ctx, command)
	if refusedWith(err, pgerror.DuplicateObject) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create slot %q: %w", q.name, err)
	}
	return true, nil
}

func (q slotCommands) drop(ctx context.Context) error {
	_, err := q.s.Query(ctx, grammar.Render(&grammar.DropSlot{Name: q.name}, grammar.Version(q.version)))
	if err != nil && !refusedWith(err, pgerror.UndefinedObject) {
		return fmt.Errorf("drop slot %q: %w", q.name, err)
	}
	return nil
}

// refusedWith reports whether the server refused with one of the codes.
func refusedWith(err error, codes ...pgerror.Code) bool {
	var e *pgerror.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// oneRow is the only row of an answer with at least columns values.
func oneRow(res []upstream.Result, columns int) ([][]byte, error) {
	if len(res) < 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < columns {
		return nil, fmt.Errorf("%w: expected one row with %d values", ErrProtocol, columns)
	}
	return res[0].Rows[0], nil
}
