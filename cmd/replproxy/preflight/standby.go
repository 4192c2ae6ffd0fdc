package preflight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Standby has the facts about a standby that is, or shall be, behind this proxy.
type Standby struct {
	Endpoint string
	Err      error // why it could not be asked
	Major    int
	Version  string
	System   string
	Recovery bool
	Settings map[string]string // by SHOW; absent when they may not be read
	Denied   bool              // some may not be read by the role
	Clock    Clock
}

// standbySettings are those that decide whom a standby follows, and how.
var standbySettings = []string{
	"primary_conninfo", "primary_slot_name", "recovery_target_timeline", "cluster_name", "hot_standby_feedback",
	"wal_receiver_timeout",
}

// AskStandby asks a standby by SQL, over a connection of conninfo.
func AskStandby(ctx context.Context, conninfo string) (b Standby) {
	c, err := upstream.Parse(conninfo)
	if err != nil {
		b.Err = err
		return b
	}
	b.Endpoint, b.Settings = c.String(), map[string]string{}
	conn, err := c.Connect(ctx, map[string]string{"application_name": applicationName})
	if err != nil {
		b.Err = err
		return b
	}
	defer conn.Close()
	var f Facts
	describe(conn, Setup{}, &f)
	b.Endpoint, b.Major, b.Version = f.Endpoint, f.Major, f.Version
	if row := first(conn.Query(ctx, "SELECT pg_catalog.pg_is_in_recovery()")); len(row) > 0 {
		b.Recovery = row[0] == "t"
	}
	if row := first(conn.Query(ctx, "SELECT system_identifier FROM pg_catalog.pg_control_system()")); len(row) > 0 {
		b.System = row[0]
	}
	for _, name := range standbySettings {
		res, err := conn.Query(ctx, "SHOW "+name)
		b.Denied = b.Denied || code(err) == pgerror.InsufficientPrivilege
		if row := first(res, err); len(row) == 1 {
			b.Settings[name] = row[0]
		}
	}
	b.Clock = readClock(ctx, conn)
	return b
}

// JudgeStandby judges one standby beside what is known of the primary. ports are those on which this proxy listens.
func JudgeStandby(s Setup, f Facts, b Standby, ports []string) []Check {
	name := "standby " + cmp.Or(b.name(), b.Endpoint)
	fail := func(text, remedy string) []Check { return []Check{{name, Fail, text, remedy}} }
	switch {
	case b.Err != nil:
		return fail(b.Err.Error(), "Correct --standby, or start the standby: it is asked by SQL, so hot_standby is on.")
	case !b.Recovery:
		return fail(b.Endpoint+" is no standby: it is not in recovery",
			"A standby has standby.signal in its data directory.")
	case f.System != "" && b.System != "" && f.System != b.System:
		return fail(fmt.Sprintf("%s is of database system %s, but the upstream is %s", b.Endpoint, b.System, f.System),
			"Make it anew by pg_basebackup through the proxy.")
	case f.Major != 0 && b.Major != 0 && f.Major != b.Major:
		return fail(fmt.Sprintf("%s is PostgreSQL %d, but the upstream is %d", b.Endpoint, b.Major, f.Major),
			"Physical replication needs one major version: make it anew with that of the primary.")
	}
	var all []Check
	warn := func(text, remedy string) { all = append(all, Check{name, Warn, text, remedy}) }
	if b.Denied {
		warn("not all of its settings may be read",
			"GRANT pg_read_all_settings to the role of --standby, on the primary.")
	}
	b.target(ports, warn)
	b.names(s, warn)
	b.slot(s, f, warn)
	if t, known := b.Settings["recovery_target_timeline"]; known && t != "latest" {
		warn(fmt.Sprintf("recovery_target_timeline is %q: it does not follow a promotion", t),
			"ALTER SYSTEM SET recovery_target_timeline = 'latest', then restart it.")
	}
	if len(all) == 0 {
		text := fmt.Sprintf("%s, PostgreSQL %s, follows this proxy", b.Endpoint, b.Version)
		all = []Check{{Name: name, Level: OK, Text: text}}
	}
	for _, c := range clockOf(name, "it", b.Clock) {
		if c.Level != OK {
			all = append(all, c)
		}
	}
	return all
}

// target judges the server that it follows.
func (b *Standby) target(ports []string, warn func(text, remedy string)) {
	conninfo, known := b.Settings["primary_conninfo"]
	if !known {
		return
	}
	const remedy = "ALTER SYSTEM SET primary_conninfo = 'host=<this proxy> port=<its port> user=… " +
		"application_name=…', then SELECT pg_reload_conf()."
	host, err := upstream.Keyword(conninfo, "host")
	port, _ := upstream.Keyword(conninfo, "port")
	switch {
	case conninfo == "":
		warn("primary_conninfo is empty: it follows nobody", remedy)
	case err != nil:
		warn("primary_conninfo cannot be read: "+err.Error(), remedy)
	case !slices.ContainsFunc(strings.Split(cmp.Or(port, "5432"), ","), func(p string) bool {
		return slices.Contains(ports, p)
	}):
		warn(fmt.Sprintf("primary_conninfo leads to host %s, port %s: this proxy does not listen on that port",
			cmp.Or(host, "(the standby's own)"), cmp.Or(port, "5432")), remedy)
	}
}

// names judges the name by which the rule counts it.
func (b *Standby) names(s Setup, warn func(text, remedy string)) {
	if _, known := b.Settings["primary_conninfo"]; !known {
		return
	}
	switch name := b.name(); {
	case name == "" || name == "walreceiver":
		warn("it has no name of its own: the rule and status know it as walreceiver",
			"Put application_name into primary_conninfo, or set cluster_name (a restart).")
	case s.proxy(name):
		warn(fmt.Sprintf("its name %s is that of a proxy, whose store votes under it", name),
			"Give it another application_name.")
	}
}

// slot judges the slot that it asks for.
func (b *Standby) slot(s Setup, f Facts, warn func(text, remedy string)) {
	name, known := b.Settings["primary_slot_name"]
	there := slices.Contains(f.Disk.Slots, name) ||
		slices.ContainsFunc(f.Slots, func(l Slot) bool { return l.Name == name && l.Type == "physical" })
	switch {
	case !known:
	case name == "":
		warn("it has no primary_slot_name: this proxy keeps WAL for it only within wal.keep_size",
			"Make a slot at the proxy, and name it in primary_slot_name.")
	case name == s.Slot:
		warn(fmt.Sprintf("its primary_slot_name %q is that of this proxy on the primary", name),
			"Give it a slot of its own.")
	case !there && f.SQL == nil:
		warn(fmt.Sprintf("its slot %q is neither here nor on the primary", name),
			fmt.Sprintf("SELECT pg_create_physical_replication_slot('%s', true) at the proxy, or "+
				"slots.auto_create: true.", name))
	}
}

// name returns the application_name that a standby's walreceiver has: that of primary_conninfo, else its cluster_name.
func (b *Standby) name() string {
	given, _ := upstream.Keyword(b.Settings["primary_conninfo"], "application_name")
	return cmp.Or(given, b.Settings["cluster_name"])
}
