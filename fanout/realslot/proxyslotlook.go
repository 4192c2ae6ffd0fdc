package realslot

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// lookWalsenders asks for the number of walsenders that the server has to spare.
const lookWalsenders = "SELECT pg_catalog.current_setting('max_wal_senders')::int - " +
	"(SELECT count(*) FROM pg_catalog.pg_stat_get_wal_senders())"

// Holder returns the process of the server that has the slot of that name, for a refusal's words; 0: nobody, or it
// could not be asked in time. It blocks for the network, askTimeout at most.
func Holder(c Connector, slot string) int32 {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	s, err := sql(ctx, c)
	if err != nil {
		return 0
	}
	defer s.Close()
	res, err := s.Query(ctx, "SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = "+
		grammar.QuoteLiteral(slot))
	if err != nil || len(res) != 1 || len(res[0].Rows) != 1 {
		return 0
	}
	return int32(number(res[0].Rows[0][0], 32))
}

// look asks for the slot and for all that decides about it in one round trip, and publishes what it hears.
func (o *ProxySlot) look(ctx context.Context, s *upstream.Session) (shownSlot, error) {
	name := grammar.QuoteLiteral(o.o.Slot)
	answers, err := s.QueryAll(ctx,
		"SELECT active_pid, restart_lsn, xmin, catalog_xmin, wal_status, safe_wal_size, "+
			"pg_catalog.pg_wal_lsn_diff("+lookEnd+", restart_lsn)::bigint, slot_type, temporary "+
			"FROM pg_catalog.pg_replication_slots WHERE slot_name = "+name,
		lookNext,
		"SELECT xmin, catalog_xmin FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical' AND "+
			"NOT temporary AND slot_name <> "+name,
		lookWalsenders)
	for _, a := range answers {
		if err == nil {
			err = a.Err
		}
	}
	if err != nil {
		return shownSlot{}, fmt.Errorf("look at slot %q: %w", o.o.Slot, err)
	}
	own, st, err := readProxySlot(o.o.Slot, answers)
	if err != nil {
		return own, fmt.Errorf("look at slot %q: %w", o.o.Slot, err)
	}
	changed := o.catalog.Swap(uint64(own.horizon.CatalogXmin)) != uint64(own.horizon.CatalogXmin)
	o.mu.Lock()
	st.Recreated, st.Drops, st.Err, st.TellErr = o.status.Recreated, o.status.Drops, o.status.Err, o.status.TellErr
	if own.exists {
		o.status = st
	}
	if own.exists && own.ours() {
		o.seen = s.Endpoint
	}
	o.mu.Unlock()
	if changed && o.o.Borne != nil {
		o.o.Borne()
	}
	return own, nil
}

// readProxySlot reads the answers of look, whose rows have the columns of its queries. A missing answer is the zero
// value; an error is about one that cannot be read.
func readProxySlot(name string, answers []upstream.Answer) (own shownSlot, st ProxySlotStatus, err error) {
	rows := func(i int) [][][]byte {
		if i < len(answers) && len(answers[i].Results) == 1 {
			return answers[i].Results[0].Rows
		}
		return nil
	}
	next := copyboth.FullXID(0)
	for _, row := range rows(1) {
		next = copyboth.FullXID(number(row[0], 64))
	}
	horizon := func(xmin, catalog []byte) Horizon {
		return Horizon{full(uint32(number(xmin, 32)), next), full(uint32(number(catalog, 32)), next)}
	}
	for _, row := range rows(2) {
		own.others = append(own.others, horizon(row[0], row[1]))
	}
	for _, row := range rows(3) {
		own.walsenders = int(number(row[0], 31))
	}
	if len(rows(0)) == 0 {
		return own, st, nil
	}
	row := rows(0)[0]
	own.exists, own.temporary = true, string(row[8]) == "t"
	own.Real = Real{
		Name: name, ActivePID: int32(number(row[0], 32)), Lost: string(row[4]) == "lost",
		Logical: string(row[7]) == "logical",
	}
	own.horizon = horizon(row[2], row[3])
	if row[1] != nil {
		if own.Restart, err = lsn.Parse(string(row[1])); err != nil {
			return own, st, err
		}
	}
	st = ProxySlotStatus{Known: true, Restart: own.Restart, State: string(row[4]), Horizon: own.horizon}
	if safe, err := strconv.ParseInt(string(row[5]), 10, 64); err == nil {
		st.Safe = &safe
	}
	st.HeldBytes, _ = strconv.ParseInt(string(row[6]), 10, 64) // NULL: nothing
	st.HeldBytes = max(st.HeldBytes, 0)
	own.end = own.Restart + lsn.LSN(st.HeldBytes)
	return own, st, nil
}

// errNotOurs returns the error for a slot of this proxy's name that somebody else made, a logical or temporary one: no
// slot of this proxy's own holds WAL then.
func errNotOurs(name string, s shownSlot) error {
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
func (o *ProxySlot) recreate(ctx context.Context, s *upstream.Session, was shownSlot) (shownSlot, error) {
	if was.exists {
		err := do(ctx, nil, s, action{drop, o.o.Slot}, 0)
		if err != nil {
			return was, fmt.Errorf("drop slot %q, which reserves no WAL: %w", o.o.Slot, err)
		}
	}
	if err := do(ctx, nil, s, action{create, o.o.Slot}, 0); err != nil {
		return shownSlot{}, fmt.Errorf("create slot %q: %w", o.o.Slot, err)
	}
	o.mu.Lock()
	dropped := !was.exists && o.seen.Host == s.Endpoint.Host && o.seen.Port == s.Endpoint.Port
	o.mu.Unlock()
	own, err := o.look(ctx, s) // which has seen it, then
	if err != nil {
		return own, err
	}
	o.mu.Lock()
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
