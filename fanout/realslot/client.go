package realslot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// applicationName names the side connections in pg_stat_activity.
const applicationName = "replproxy slots"

// stopDelay is the time without a question to a server that lets nobody in, because it stops or starts (ruling R38):
// each look is a log-in, which it refuses. A slot that is gone may go unnoticed for longer.
const stopDelay = 8 * time.Second

// stopping reports whether a server refused because it stops, or has not started yet.
func stopping(err error) bool {
	var e *pgerror.Error
	return errors.As(err, &e) && (e.Code == pgerror.AdminShutdown || e.Code == pgerror.CrashShutdown ||
		e.Code == pgerror.CannotConnectNow)
}

// restUntil returns the time at which a server that was asked at now, and answered err, may be asked again.
func restUntil(now time.Time, err error) time.Time {
	if stopping(err) {
		return now.Add(stopDelay)
	}
	return now
}

// Primary logs in to the primary; *upstream.Config is one.
type Primary interface {
	Connector
	Dialer
}

// Connector logs in to the primary.
type Connector interface {
	Connect(ctx context.Context, params map[string]string) (*upstream.Session, error)
}

// view is the primary's slots and next transaction at one moment.
type view struct {
	slots map[string]Real
	idle  []Idle
	next  copyboth.FullXID

	settings map[string]string // those of reloaded that no role or database overrides
}

// Idle is a slot of the primary from which nobody streams there, and the WAL that is kept for it.
type Idle struct {
	Name, Type string // physical or logical
	Restart    lsn.LSN
	HeldBytes  int64
	WALStatus  string
}

const (
	lookNext = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
	lookEnd  = "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() " +
		"ELSE pg_catalog.pg_current_wal_lsn() END"
	lookSlots = "SELECT slot_name, active_pid, restart_lsn, xmin, catalog_xmin, slot_type, wal_status, " +
		"pg_catalog.pg_wal_lsn_diff(" + lookEnd + ", restart_lsn)::bigint " +
		"FROM pg_catalog.pg_replication_slots WHERE NOT temporary ORDER BY slot_name"
)

// reloaded lists settings that a primary may change by a reload while the stream goes on, and that are shown to
// standbys or hold for their sessions. The stream tells nothing of such a change. A value that is set for our role, or
// for the database, is left out, as it says nothing of a walsender's.
var reloaded = []string{"wal_sender_timeout", "wal_keep_size", "max_slot_wal_keep_size", "synchronous_standby_names"}

// lookSettings returns the query for the reloaded settings, with values as SHOW has them.
func lookSettings() string {
	names := make([]string, len(reloaded))
	for i, n := range reloaded {
		names[i] = grammar.QuoteLiteral(n)
	}
	return "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE name IN (" +
		strings.Join(names, ", ") + ") AND source IN ('default', 'environment variable', 'configuration file', " +
		"'command line')"
}

func sql(ctx context.Context, c Connector) (*upstream.Session, error) {
	return c.Connect(ctx, map[string]string{"application_name": applicationName})
}

// look asks for the next transaction ID, the slots and the reloaded settings in one round trip.
func look(ctx context.Context, s *upstream.Session) (view, error) {
	answers, err := s.QueryAll(ctx, lookNext, lookSlots, lookSettings())
	if err != nil {
		return view{}, fmt.Errorf("look at slots: %w", err)
	}
	v := view{slots: map[string]Real{}, settings: map[string]string{}}
	for _, a := range answers {
		if a.Err != nil || len(a.Results) != 1 {
			return view{}, fmt.Errorf("look at slots: %w", a.Err)
		}
	}
	for _, row := range answers[0].Results[0].Rows {
		v.next = copyboth.FullXID(number(row[0], 64))
	}
	for _, row := range answers[2].Results[0].Rows {
		v.settings[string(row[0])] = string(row[1])
	}
	for _, row := range answers[1].Results[0].Rows {
		r := Real{
			Name: string(row[0]), Logical: string(row[5]) == "logical", ActivePID: int32(number(row[1], 32)),
			Lost: string(row[6]) == "lost",
			Xmin: full(uint32(number(row[3], 32)), v.next), CatalogXmin: full(uint32(number(row[4], 32)), v.next),
		}
		if row[2] != nil {
			if r.Restart, err = lsn.Parse(string(row[2])); err != nil {
				return view{}, fmt.Errorf("look at slot %q: %w", r.Name, err)
			}
		}
		v.slots[r.Name] = r
		if r.ActivePID == 0 && r.Restart != lsn.Invalid && !r.Lost {
			held, _ := strconv.ParseInt(string(row[7]), 10, 64) // NULL: a standby that has replayed nothing
			v.idle = append(v.idle, Idle{r.Name, string(row[5]), r.Restart, max(0, held), string(row[6])})
		}
	}
	return v, nil
}

// number returns a value of the server's own making; NULL is 0.
func number(text []byte, bits int) uint64 {
	n, err := strconv.ParseUint(string(text), 10, bits)
	if err != nil {
		return 0
	}
	return n
}

// do carries an action out, over s or, to withdraw an xmin, over a walsender of its own.
func do(ctx context.Context, c Connector, s *upstream.Session, a action, target lsn.LSN) error {
	name := grammar.QuoteLiteral(a.name)
	command := ""
	switch a.verb {
	case create:
		command = "SELECT pg_catalog.pg_create_physical_replication_slot(" + name + ", true)"
	case advance, follow:
		command = "SELECT pg_catalog.pg_replication_slot_advance(" + name + ", '" + target.String() + "')"
	case drop:
		command = "SELECT pg_catalog.pg_drop_replication_slot(" + name + ")"
	case createShut:
		command = "SELECT pg_catalog.pg_create_physical_replication_slot(" + name + ")"
	case clear:
		return withdraw(ctx, c, a.name, target, target)
	default:
		return nil
	}
	_, err := s.Query(ctx, command)
	return err
}

// withdraw reports target and no xmin: SQL can't take an xmin from a slot (facts F5), nor give it its first position or
// an older one.
func withdraw(ctx context.Context, c Connector, name string, start, target lsn.LSN) error {
	return moment(ctx, c, name, start, position(target), copyboth.HotStandbyFeedback{}.Append(nil))
}

// position returns a report that moves a slot to target.
func position(target lsn.LSN) []byte {
	p := lsn.Progress{Write: target, Flush: target, Apply: target}
	return copyboth.StatusUpdate{Progress: p}.Append(nil)
}

// moment streams from the slot at start for a moment, as its standby would, and says messages. The slot is free again
// when it returns without an error. c must have asked IDENTIFY_SYSTEM, as [verified] does: 14 wants that first.
func moment(ctx context.Context, c Connector, name string, start lsn.LSN, messages ...[]byte) error {
	s, err := c.Connect(ctx, map[string]string{"replication": "true", "application_name": applicationName})
	if err != nil {
		return err
	}
	defer s.Close()
	command := fmt.Sprintf("START_REPLICATION SLOT %s PHYSICAL %s", grammar.QuoteIdent(name), start)
	// All messages go at once: the walsender reads them in state catchup, before it has sent any WAL. It is therefore
	// no synchronous standby for a moment, not even where synchronous_standby_names is '*'.
	var ahead []byte
	for _, m := range messages {
		ahead = wire.AppendFrame(ahead, 'd', m)
	}
	copying, _, err := s.StartCopy(ctx, command, wire.AppendFrame(ahead, 'c', nil)...)
	if err != nil || !copying {
		return err
	}
	_, err = s.FinishCopy(ctx)
	return err
}
