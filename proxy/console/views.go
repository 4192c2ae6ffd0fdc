package console

import (
	_ "embed"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// recorded has the columns of PostgreSQL's views, as servers of each major version have them. TestColumns records it.
//
//go:embed columns.txt
var recorded string

// viewColumns returns the columns of a view in a major version: those of the nearest recorded one, where it is another.
// nil: it is no view that the console has.
func viewColumns(view string, major int) (all []sql.Column) {
	best := 0
	for _, line := range strings.Split(recorded, "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != view {
			continue
		}
		of, _ := strconv.Atoi(f[0])
		if best != 0 && of > major {
			continue // lines are in order
		}
		best, all = of, nil
		for _, column := range f[2:] {
			name, oid, _ := strings.Cut(column, ":")
			n, _ := strconv.ParseUint(oid, 10, 32)
			all = append(all, sql.Column{Name: name, Type: datum.Type(n)})
		}
	}
	return all
}

// fields are the values of a row by column. A column without one is NULL.
type fields map[string]datum.Value

// arrange puts rows into the order of a view's columns.
func arrange(columns []sql.Column, rows []fields) table {
	t := table{columns: columns}
	for _, r := range rows {
		row := make([]datum.Value, len(columns))
		for i, c := range columns {
			row[i] = r[c.Name]
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// views returns PostgreSQL's views by name, and for each the function that fills it.
func views() map[string]func(*Snapshot) []fields {
	return map[string]func(*Snapshot) []fields{
		"pg_stat_replication": replication, "pg_replication_slots": slots, "pg_stat_wal_receiver": receiver,
		"pg_stat_ssl": ssl, "pg_stat_activity": activity,
	}
}

func replication(x *Snapshot) (all []fields) {
	for _, s := range x.Status.Standbys {
		all = append(all, fields{
			"pid": int64(s.PID), "usename": s.User, "application_name": s.ApplicationName,
			"client_addr": address(s.ClientAddr), "backend_start": moment(s.BackendStart), "backend_xmin": xid(s.Xmin),
			"state": s.State, "sent_lsn": position(s.Sent), "write_lsn": position(s.Write),
			"flush_lsn": position(s.Flush), "replay_lsn": position(s.Replay),
			"write_lag": lag(s.WriteLag), "flush_lag": lag(s.FlushLag), "replay_lag": lag(s.ReplayLag),
			"sync_priority": int64(s.SyncPriority), "sync_state": s.SyncState, "reply_time": moment(s.ReplyTime),
		})
	}
	return all
}

func slots(x *Snapshot) (all []fields) {
	for _, s := range x.Status.Slots {
		f := fields{
			"slot_name": s.Name, "slot_type": s.Type, "temporary": s.Temporary, "active": s.Active,
			"xmin": xid(s.Xmin), "catalog_xmin": xid(s.CatalogXmin), "restart_lsn": position(s.Restart),
			"wal_status": word(s.Status), "two_phase": false, "inactive_since": moment(s.InactiveSince),
			"invalidation_reason": word(s.Reason), "failover": false, "synced": false,
		}
		if s.ActivePID != 0 {
			f["active_pid"] = int64(s.ActivePID)
		}
		if s.Safe != nil {
			f["safe_wal_size"] = *s.Safe
		}
		all = append(all, f)
	}
	return all
}

// receiver returns the row of the upstream's stream, as PostgreSQL does only while it has one.
func receiver(x *Snapshot) []fields {
	u, store := &x.Status.Upstream, &x.Status.Store
	if u.State != admin.Streaming {
		return nil
	}
	f := fields{
		"status": "streaming", "written_lsn": position(store.Written), "flushed_lsn": position(store.Flushed),
		"latest_end_lsn": position(store.Received), "last_msg_receipt_time": moment(u.LastMessageAt),
		"received_tli": int64(store.Timeline), "slot_name": word(u.Slot), "sender_host": u.Endpoint,
		"pid": int64(x.PID),
	}
	if host, port, err := net.SplitHostPort(u.Endpoint); err == nil {
		f["sender_host"] = host
		if n, err := strconv.ParseInt(port, 10, 32); err == nil {
			f["sender_port"] = n
		}
	}
	return []fields{f}
}

func ssl(x *Snapshot) (all []fields) {
	for _, s := range x.Sessions {
		f := fields{"pid": int64(s.PID), "ssl": s.SSL != nil}
		if s.SSL != nil {
			f["version"], f["cipher"], f["bits"] = s.SSL.Version, s.SSL.Cipher, int64(s.SSL.Bits)
			f["client_dn"] = word(s.SSL.PeerDN)
		}
		all = append(all, f)
	}
	return all
}

// activity returns the sessions. States of transactions are not looked at, so that state is that of the connection.
func activity(x *Snapshot) (all []fields) {
	for _, s := range x.Sessions {
		f := fields{
			"pid": int64(s.PID), "datname": word(s.Database), "usename": s.User, "application_name": s.ApplicationName,
			"backend_start": moment(s.Began), "state": "active", "backend_type": "client backend",
		}
		if s.Class == handshake.PhysicalWalsender || s.Class == handshake.LogicalWalsender {
			f["backend_type"] = "walsender"
		}
		host, port, err := net.SplitHostPort(s.ClientAddr)
		if f["client_addr"] = address(host); err == nil && f["client_addr"] != nil {
			n, _ := strconv.ParseInt(port, 10, 32)
			f["client_port"] = n
		} else {
			f["client_port"] = int64(-1) // of a unix socket
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b fields) int { return datum.Compare(a["pid"], b["pid"]) })
	return all
}
