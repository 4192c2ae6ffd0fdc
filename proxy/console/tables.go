package console

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// Snapshot has all that the console shows, at one moment.
type Snapshot struct {
	Status   *admin.Status
	Sessions []proxy.SessionInfo
	PID      int // of the proxy's process
}

// ownTable is a table of the console, which SHOW shows too.
type ownTable struct {
	name, help string
	rows       func(*Snapshot) table
}

// client is a session as the table clients has it.
type client struct {
	PID             int32     `column:"pid"`
	Class           string    `column:"class"`
	State           string    `column:"state"`
	User            string    `column:"usename"`
	Database        string    `column:"datname,omitempty"`
	ApplicationName string    `column:"application_name"`
	Addr            string    `column:"client_addr,omitempty"`
	Upstream        string    `column:"upstream,omitempty"`
	Began           time.Time `column:"backend_start,omitzero"`
	Received        int64     `column:"received_bytes"`
	Sent            int64     `column:"sent_bytes"`
	SSL             bool      `column:"ssl"`
}

// ownTables returns the tables in the order of HELP.
func ownTables() []ownTable {
	return []ownTable{
		{"verdict", "how it is, in one sentence", func(x *Snapshot) table {
			return list([]admin.Verdict{x.Status.Verdict})
		}},
		{"status", "everything that is not a list", func(x *Snapshot) table { return pairs(*x.Status, nil) }},
		{"standbys", "attached standbys, as pg_stat_replication", func(x *Snapshot) table {
			return list(x.Status.Standbys)
		}},
		{"slots", "slots of this proxy, as pg_replication_slots", func(x *Snapshot) table {
			return list(x.Status.Slots)
		}},
		{"ssl", "encrypted connections, as pg_stat_ssl", func(x *Snapshot) table { return list(x.Status.SSL) }},
		{"upstream", "the stream from the primary", func(x *Snapshot) table {
			return list([]admin.Upstream{x.Status.Upstream})
		}},
		{"quorum", "positions of the rule: why does a commit wait?", func(x *Snapshot) table {
			return list(x.Status.Quorum.Levels)
		}},
		{"voters", "voters of the rule", func(x *Snapshot) table { return list(x.Status.Quorum.Voters) }},
		{"cluster", "the other proxies", func(x *Snapshot) table {
			if x.Status.Cluster == nil {
				return list[admin.Peer](nil)
			}
			return list(x.Status.Cluster.Peers)
		}},
		{"clients", "sessions of this proxy", clients},
		{"wal", "WAL on this proxy's disk", func(x *Snapshot) table { return list([]admin.Store{x.Status.Store}) }},
		{"config", "the configuration file, and bounds in force", func(x *Snapshot) table {
			t := pairs(x.Status.Config, nil)
			t.rows = append(t.rows, pairs(x.Status.Limits, nil).rows...)
			return t
		}},
		{"stats", "counters and other numbers", func(x *Snapshot) table {
			numbers := []reflect.Kind{reflect.Int64, reflect.Int}
			return pairs(*x.Status, func(k reflect.Kind) bool { return slices.Contains(numbers, k) })
		}},
		{"events", "what happened since the start, the newest first", func(x *Snapshot) table {
			return list(x.Status.Events)
		}},
		{"warnings", "things that an operator should change", func(x *Snapshot) table {
			t := table{columns: []sql.Column{{Name: "warning", Type: datum.Text}}}
			for _, w := range x.Status.Warnings {
				t.rows = append(t.rows, []datum.Value{w})
			}
			return t
		}},
		{"version", "version of replproxy", version},
	}
}

func version(x *Snapshot) table {
	text := "replproxy " + x.Status.Version
	if x.Status.Commit != "" {
		text += " (" + x.Status.Commit + ")"
	}
	return table{columns: []sql.Column{{Name: "version", Type: datum.Text}}, rows: [][]datum.Value{{text}}}
}

func clients(x *Snapshot) table {
	var all []client
	for _, s := range x.Sessions {
		all = append(all, client{
			PID: s.PID, Class: s.Class.String(), State: s.State.String(), User: s.User, Database: s.Database,
			ApplicationName: s.ApplicationName, Addr: s.ClientAddr, Upstream: s.Upstream, Began: s.Began,
			Received: s.FromClient, Sent: s.ToClient, SSL: s.SSL != nil,
		})
	}
	slices.SortFunc(all, func(a, b client) int { return int(a.PID) - int(b.PID) })
	return list(all)
}

// lookUp returns a table by its name, and ok false for none. major is the upstream's version.
func lookUp(name string, x *Snapshot, major int) (t table, ok bool) {
	if fill := views()[name]; fill != nil {
		return arrange(viewColumns(name, major), fill(x)), true
	}
	for _, own := range ownTables() {
		if own.name == name {
			return own.rows(x), true
		}
	}
	return table{}, false
}

// help returns the list of commands and tables.
func help() table {
	t := table{columns: []sql.Column{{Name: "command", Type: datum.Text}, {Name: "description", Type: datum.Text}}}
	add := func(command, text string) { t.rows = append(t.rows, []datum.Value{command, text}) }
	for _, own := range ownTables() {
		add("SHOW "+strings.ToUpper(own.name), own.help)
	}
	add("SELECT … FROM …", "one of these tables, or of PostgreSQL's views that follow")
	for _, view := range slices.Sorted(maps.Keys(views())) {
		add(view, "as in PostgreSQL")
	}
	add("HELP", "this list")
	return t
}
