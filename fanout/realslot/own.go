package realslot

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// ownInterval is how often the own slot is looked at and advanced, also to where it is, so that it does not
	// count as idle: what the primary keeps for it is at most this much old, beside what the store has not
	// flushed. Each look is a log-in.
	ownInterval = 5 * time.Second
	// ownBytes is how much WAL the store flushes before the slot is advanced earlier: four segments of the usual
	// size, little on any disk.
	ownBytes = 64 << 20
	// ownTick is how often it is looked here whether a look there is due.
	ownTick = time.Second
)

// Dialer logs in at one server; *upstream.Config is one.
type Dialer interface {
	ConnectTo(ctx context.Context, e upstream.Endpoint, params map[string]string) (*upstream.Session, error)
}

// OwnOptions are what NewOwn needs, all of it.
type OwnOptions struct {
	Upstream Dialer
	Slot     string
	Flushed  func() lsn.LSN // of the store
	// Following is asked before the slot is moved to Flushed: while another server is followed, or none
	// yet, it stays where it is.
	Following Following
	// Fed reports whether the present stream has said the standbys' feedback: from then on what the slot
	// bears of it from earlier is withdrawn.
	Fed func() bool
	// Forsaken reports whether the primary is to keep no WAL for this proxy, whose store takes none any more and has
	// withdrawn its vote (ruling R40). nil: never.
	Forsaken func() bool
	Logger   *slog.Logger
}

// Own holds the proxy's own slot by SQL while the stream does without it (ruling R8). Methods may be
// called from any goroutine.
type Own struct {
	o OwnOptions

	mu     sync.Mutex
	at     upstream.Endpoint
	seen   upstream.Endpoint // where the slot was ours at the last look
	held   bool
	status OwnStatus
}

// OwnStatus is the own slot as the primary showed it last.
type OwnStatus struct {
	Held      bool    // by SQL, now
	Known     bool    // the rest is
	Restart   lsn.LSN // Invalid: it reserves nothing
	HeldBytes int64   // WAL that the primary keeps, from restart_lsn to its end
	State     string  // wal_status
	Safe      *int64  // safe_wal_size; nil without max_slot_wal_keep_size
	Recreated int64   // how often it was made anew because the primary had invalidated it
	Drops     Drops   // by somebody else
	Err       string  // why the last look or advance failed
}

// NewOwn makes an Own that holds nothing.
func NewOwn(o OwnOptions) *Own { return &Own{o: o} }

// Status is the present state.
func (o *Own) Status() OwnStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.status
	s.Held = o.held
	return s
}

// Hold makes sure that the slot exists on the server at e, reserves WAL and can be advanced by SQL, and
// tells from where; from then on [Own.Run] advances it. It waits for the server until ctx ends.
func (o *Own) Hold(ctx context.Context, e upstream.Endpoint) (lsn.LSN, error) {
	s, err := o.connect(ctx, e)
	if err != nil {
		return lsn.Invalid, err
	}
	defer s.Close()
	own, err := o.look(ctx, s)
	switch {
	case err != nil:
	case !own.ours():
		err = errNotOurs(o.o.Slot, own)
	case !own.reserves():
		own, err = o.recreate(ctx, s, own)
	case own.ActivePID == 0:
		err = do(ctx, nil, s, action{advance, o.o.Slot}, own.Restart)
	}
	if err != nil {
		return lsn.Invalid, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.held = e, true
	return own.Restart, nil
}

// Release ends Hold.
func (o *Own) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
}

// Run advances the slot while it is held, until ctx ends.
func (o *Own) Run(ctx context.Context) error {
	tick := time.NewTicker(ownTick)
	defer tick.Stop()
	var d ownDue
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		w, ok := o.where()
		if now := time.Now(); ok && d.due(now, w, o.o.Flushed()) {
			err := o.round(ctx, w)
			d.asked(now, w, o.o.Flushed(), err)
			o.complain(ctx, err)
		}
	}
}

// where is the server on which the slot is held; false: none, or the stream is about to begin, or to end.
func (o *Own) where() (server, bool) {
	w, err := o.o.Following.now()
	return w, err == nil && o.holds(w.at)
}

// ownDue tells when the own slot is to be looked at. The zero value says at once. It is pure.
type ownDue struct {
	last, rest time.Time
	of         server
	flushed    lsn.LSN
}

func (d *ownDue) due(now time.Time, w server, flushed lsn.LSN) bool {
	switch {
	case w != d.of:
		return true
	case now.Before(d.rest):
		return false
	}
	return now.Sub(d.last) >= ownInterval || flushed >= d.flushed+ownBytes
}

func (d *ownDue) asked(now time.Time, w server, flushed lsn.LSN, err error) {
	d.last, d.of, d.flushed, d.rest = now, w, flushed, restUntil(now, err)
}

// round looks once, and does what is to be done, over a session that ends with it (ruling R38).
func (o *Own) round(ctx context.Context, w server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := o.connect(ctx, w.at)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := w.verify(ctx, s); err != nil {
		return err
	}
	own, err := o.look(ctx, s)
	if err != nil {
		return err
	}
	target := own.target(o.o.Flushed(), o.o.Forsaken != nil && o.o.Forsaken())
	if !o.holds(w.at) || !o.o.Following.still(w) {
		return nil // or target is of another timeline
	}
	switch a := own.decide(target, o.o.Fed()); a {
	case none:
		return nil
	case foreign:
		return errNotOurs(o.o.Slot, own)
	case create:
		_, err = o.recreate(ctx, s, own)
		return err
	case place:
		if err := withdraw(ctx, verified{o.o.Upstream, w}, o.o.Slot, target, target); err != nil {
			return fmt.Errorf("put the slot where the store ends, %s, as the primary must keep WAL from there: %w",
				target, err)
		}
		_, err = o.look(ctx, s)
		return err
	default:
		err = do(ctx, verified{o.o.Upstream, w}, s, action{a, o.o.Slot}, max(target, own.Restart))
		if err != nil {
			return err
		}
		if a == clear {
			o.o.Logger.Info("the slot's xmin is withdrawn: feedback is borne by the stream alone", "slot", o.o.Slot)
		}
		_, err = o.look(ctx, s) // the status is what came of it
		return err
	}
}

func (o *Own) holds(at upstream.Endpoint) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held && o.at == at
}

// pinned is a Connector to one server.
type pinned struct {
	d Dialer
	e upstream.Endpoint
}

func (p pinned) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	return p.d.ConnectTo(ctx, p.e, params)
}

func (o *Own) connect(ctx context.Context, e upstream.Endpoint) (*upstream.Session, error) {
	return sql(ctx, pinned{o.o.Upstream, e})
}

// look asks for the slot, and publishes what it hears.
func (o *Own) look(ctx context.Context, s *upstream.Session) (ownSlot, error) {
	const end = "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() " +
		"ELSE pg_catalog.pg_current_wal_lsn() END"
	res, err := s.Query(ctx, "SELECT active_pid, restart_lsn, xmin, catalog_xmin, wal_status, safe_wal_size, "+
		"pg_catalog.pg_wal_lsn_diff("+end+", restart_lsn)::bigint, slot_type, temporary "+
		"FROM pg_catalog.pg_replication_slots WHERE slot_name = "+grammar.QuoteLiteral(o.o.Slot))
	if err != nil {
		return ownSlot{}, fmt.Errorf("look at slot %q: %w", o.o.Slot, err)
	}
	if len(res) != 1 || len(res[0].Rows) == 0 {
		return ownSlot{}, nil
	}
	row := res[0].Rows[0]
	own := ownSlot{exists: true, temporary: string(row[8]) == "t", Real: Real{
		Name: o.o.Slot, ActivePID: int32(number(row[0], 32)), Lost: string(row[4]) == "lost",
		Logical: string(row[7]) == "logical",
	}}
	own.bearsXmin = row[2] != nil || row[3] != nil
	if row[1] != nil {
		if own.Restart, err = lsn.Parse(string(row[1])); err != nil {
			return own, fmt.Errorf("look at slot %q: %w", o.o.Slot, err)
		}
	}
	st := OwnStatus{Known: true, Restart: own.Restart, State: string(row[4])}
	if safe, err := strconv.ParseInt(string(row[5]), 10, 64); err == nil {
		st.Safe = &safe
	}
	st.HeldBytes, _ = strconv.ParseInt(string(row[6]), 10, 64) // NULL: nothing
	st.HeldBytes = max(st.HeldBytes, 0)
	own.end = own.Restart + lsn.LSN(st.HeldBytes)
	o.mu.Lock()
	defer o.mu.Unlock()
	st.Recreated, st.Drops = o.status.Recreated, o.status.Drops
	o.status = st
	if own.ours() {
		o.seen = s.Endpoint
	}
	return own, nil
}

// errNotOurs: somebody made a slot of our name that is none of ours, and so ours holds nothing.
func errNotOurs(name string, s ownSlot) error {
	kind := "logical"
	if s.temporary {
		kind = fmt.Sprintf("temporary (of PID %d)", s.ActivePID)
	}
	return fmt.Errorf("slot %q there is a %s one, which replproxy did not make: the primary keeps no WAL for this "+
		"proxy until it is dropped, or upstream.slot names another one", name, kind)
}

// recreate makes the slot after the primary invalidated it, or somebody dropped it, or where it has not been yet.
// It begins where PostgreSQL makes it, and the next round puts it where the store ends. What the store lacks must
// still be on the primary, or the stream ends with its refusal.
func (o *Own) recreate(ctx context.Context, s *upstream.Session, was ownSlot) (ownSlot, error) {
	if was.exists {
		err := do(ctx, nil, s, action{drop, o.o.Slot}, 0)
		if err != nil {
			return was, fmt.Errorf("drop slot %q, which reserves no WAL: %w", o.o.Slot, err)
		}
	}
	if err := do(ctx, nil, s, action{create, o.o.Slot}, 0); err != nil {
		return ownSlot{}, fmt.Errorf("create slot %q: %w", o.o.Slot, err)
	}
	own, err := o.look(ctx, s)
	if err != nil {
		return own, err
	}
	o.mu.Lock()
	dropped := !was.exists && o.seen.Host == s.Endpoint.Host && o.seen.Port == s.Endpoint.Port
	say := dropped && o.status.Drops.add(time.Now())
	if was.exists || dropped {
		o.status.Recreated++
	}
	o.mu.Unlock()
	flushed := o.o.Flushed()
	at := []any{"slot", o.o.Slot, "restart_lsn", own.Restart, "flushed_lsn", flushed,
		"wal_may_be_missing", own.Restart > flushed}
	switch {
	case was.exists:
		o.o.Logger.Warn("the upstream slot reserved no WAL and was made anew", at...)
	case !dropped:
		o.o.Logger.Info("the upstream slot was made", at...)
	case say:
		o.o.Logger.Warn(DroppedBySomebody, at...)
	}
	return own, nil
}

// complain shows and logs an error once, until it is another one or gone.
func (o *Own) complain(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = pgerror.Describe(err)
	}
	o.mu.Lock()
	said := o.status.Err
	o.status.Err = text
	o.mu.Unlock()
	if text != "" && text != said {
		o.o.Logger.Warn("cannot advance the slot on the primary, which keeps WAL for it", "slot", o.o.Slot, "err", text)
	}
}
