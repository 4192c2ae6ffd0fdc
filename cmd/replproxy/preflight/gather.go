package preflight

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// applicationName names the two connections of Gather on the server, so that they are not counted as walsenders in use.
const applicationName = "replproxy check"

// probeTimeout bounds the log-in that is never finished: the server answers its first message at once.
const probeTimeout = 5 * time.Second

// settings lists the parameters that are asked for by SHOW. One that the server does not know is left out of the facts.
var settings = []string{
	"wal_level", "max_wal_senders", "max_replication_slots", "synchronous_standby_names", "wal_segment_size",
	"wal_sender_timeout", "synchronous_commit", "max_slot_wal_keep_size", newSlots,
}

// newSlots came with 17.
const newSlots = "synchronized_standby_slots"

// Gather asks an upstream for everything that Judge wants. It opens a walsender connection, one to each host where
// there are several, an SQL connection and one unfinished log-in, one after the other, and closes them. It fails never:
// what could not be asked is in the facts. It blocks for a few round trips, bounded by ctx and connect_timeout.
func Gather(ctx context.Context, c *upstream.Config, s Setup) Facts {
	f := Facts{Settings: map[string]string{}}
	f.Replication = asWalsender(ctx, c, s, &f)
	f.Hosts = lookAtHosts(ctx, c)
	f.SQL = bySQL(ctx, c, s, &f)
	probeTrust(ctx, c, &f)
	askAuth(ctx, c, s, &f)
	f.Disk, f.Gateways = LookAtDisk(s.DataDir), gateways()
	return f
}

func asWalsender(ctx context.Context, c *upstream.Config, s Setup, f *Facts) error {
	conn, err := c.Connect(ctx, map[string]string{"replication": "true", "application_name": applicationName})
	if err != nil {
		return err
	}
	defer conn.Close()
	describe(conn, s, f)
	ask(ctx, conn, f)
	if row := first(conn.Query(ctx, "IDENTIFY_SYSTEM")); len(row) > 0 {
		f.System = row[0]
	}
	if s.Slot != "" && f.Major >= 15 {
		res, err := conn.Query(ctx, "READ_REPLICATION_SLOT "+grammar.QuoteIdent(s.Slot))
		row := first(res, err)
		f.SlotAsked, f.SlotFound = err == nil, len(row) > 0 && row[0] != ""
	}
	return nil
}

func bySQL(ctx context.Context, c *upstream.Config, s Setup, f *Facts) error {
	conn, err := c.Connect(ctx, map[string]string{"application_name": applicationName})
	if err != nil {
		return err
	}
	defer conn.Close()
	describe(conn, s, f)
	ask(ctx, conn, f)
	f.Clock = readClock(ctx, conn)
	if f.System == "" { // no walsender connection has said it
		if row := first(conn.Query(ctx, "SELECT system_identifier FROM pg_catalog.pg_control_system()")); len(row) > 0 {
			f.System = row[0]
		}
	}
	res, err := conn.Query(ctx, "SELECT application_name, coalesce(state, '') FROM pg_catalog.pg_stat_replication")
	if err != nil {
		return fmt.Errorf("read pg_stat_replication: %w", err)
	}
	f.Walsenders = nil
	for _, row := range rows(res) {
		if row[0] != applicationName {
			f.Walsenders = append(f.Walsenders, Walsender{row[0], row[1]})
		}
	}
	res, err = conn.Query(ctx, "SELECT s.slot_name, s.slot_type, s.active, coalesce(s.wal_status, ''), "+
		"coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() "+
		"THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, "+
		"s.restart_lsn)::bigint, -1), "+
		"s.temporary, coalesce(a.application_name, '') FROM pg_catalog.pg_replication_slots s "+
		"LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid")
	if err != nil {
		return fmt.Errorf("read pg_replication_slots: %w", err)
	}
	for _, row := range rows(res) {
		held, err := strconv.ParseInt(row[4], 10, 64)
		if err != nil {
			return fmt.Errorf("read pg_replication_slots: %w", err)
		}
		f.Slots = append(f.Slots, Slot{
			Name: row[0], Type: row[1], Active: row[2] == "t", WALStatus: row[3], Held: held,
			Temporary: row[5] == "t", Holder: row[6],
		})
	}
	return nil
}

func describe(conn *upstream.Session, s Setup, f *Facts) {
	f.SSL, f.SameCert = handshake.SSLOf(conn.Conn), authwatch.SameCertificate(s.Certificate, conn.Conn)
	f.Endpoint, f.Local = conn.Endpoint.String(), local(conn)
	f.Version = conn.Parameters["server_version"]
	digits, _, _ := strings.Cut(f.Version, ".")
	n := len(digits) - len(strings.TrimLeft(digits, "0123456789"))
	f.Major, _ = strconv.Atoi(digits[:n]) // unknown stays 0, "19beta1" is 19
	f.Standby = conn.Parameters["in_hot_standby"] == "on"
}

// local reports whether the peer is on this machine: over a unix socket, or at one address of it.
func local(conn *upstream.Session) bool {
	if conn.Endpoint.Unix() {
		return true
	}
	peer, ok := conn.Conn.RemoteAddr().(*net.TCPAddr)
	own, ok2 := conn.Conn.LocalAddr().(*net.TCPAddr)
	return ok && ok2 && (peer.IP.IsLoopback() || peer.IP.Equal(own.IP))
}

func ask(ctx context.Context, conn *upstream.Session, f *Facts) {
	for _, name := range settings {
		if _, known := f.Settings[name]; known || name == newSlots && f.Major < 17 {
			continue // an unknown one would be an ERROR in the server's log
		}
		res, err := conn.Query(ctx, "SHOW "+name)
		if row := first(res, err); len(row) == 1 {
			f.Settings[name] = row[0]
		}
	}
}

// probeTrust begins a log-in as the proxy's role that brings no credentials at all, and looks whether
// the server asks for some (R1). The log-in is dropped either way.
func probeTrust(ctx context.Context, c *upstream.Config, f *Facts) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := c.DialRaw(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := conn.Write(startup(c.User())); err != nil {
		return
	}
	var head [9]byte // type, length, authentication code
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	f.TrustTested = head[0] == 'R' // a refusal is not a question: the walsender connection tells of it
	f.Trusted = f.TrustTested && binary.BigEndian.Uint32(head[5:]) == 0
	if f.Trusted {
		conn.Write([]byte{'X', 0, 0, 0, 4}) // leave in order, so that the server logs nothing
		io.Copy(io.Discard, conn)
	}
}

// startup returns a StartupMessage of protocol 3.0 for a walsender.
func startup(user string) []byte {
	b := []byte{0, 0, 0, 0, 0, 3, 0, 0}
	for _, s := range []string{"user", user, "replication", "true", "application_name", applicationName} {
		b = append(append(b, s...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// rows returns the last result as texts, NULL as "".
func rows(res []upstream.Result) [][]string {
	if len(res) == 0 {
		return nil
	}
	var all [][]string
	for _, r := range res[len(res)-1].Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		all = append(all, row)
	}
	return all
}

func first(res []upstream.Result, err error) []string {
	if all := rows(res); err == nil && len(all) > 0 {
		return all[0]
	}
	return nil
}
