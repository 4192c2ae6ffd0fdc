package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
)

func sample() *Snapshot {
	lag := 0.5
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	return &Snapshot{
		Status: &admin.Status{
			Name: "proxy_a", Version: "v1", Commit: "abc", Ready: true, StartedAt: at,
			Upstream: admin.Upstream{State: admin.Streaming, Endpoint: "10.0.0.9:5432", LastMessageAt: at},
			Store:    admin.Store{Timeline: 2, Received: 0x3000200, Flushed: 0x3000100},
			Warnings: []string{"one", "two"},
			Verdict:  admin.Verdict{State: admin.VerdictWaits, Why: "s2 is away"},
			Standbys: []admin.Standby{
				{PID: 7, User: "repl", ApplicationName: "s1", ClientAddr: "10.0.0.1", Sent: 0x3000100, FlushLag: &lag, State: "streaming"},
				{PID: 8, ApplicationName: "s2", Xmin: 1<<32 | 700},
			},
			Slots: []admin.Slot{{Name: "s1", Type: "physical", ActivePID: 7, Restart: 0x3000000}},
		},
		Sessions: []proxy.SessionInfo{
			{PID: 9, Class: handshake.Regular, User: "app", Database: "db", ClientAddr: "[fe80::1%eth0]:99", Began: at, SSL: &handshake.SSL{Version: "TLSv1.3", Bits: 256}},
			{PID: 7, Class: handshake.PhysicalWalsender, User: "repl", ClientAddr: "10.0.0.1:4711", Began: at},
		},
		PID: 1,
	}
}

func open() *Session {
	return New(sample, Client{
		User: "repl", PID: 5, Parameters: map[string]string{"server_version": "15.4 (Debian)", "TimeZone": "UTC", "application_name": "psql"},
		Settings: func() map[string]string { return map[string]string{"wal_segment_size": "16MB", "TimeZone": "Mars"} },
	})
}

// say sends messages, and returns the answers in short.
func say(t *testing.T, s *Session, all ...pgproto3.FrontendMessage) string {
	t.Helper()
	var out []string
	for _, m := range all {
		b, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, _, err := s.Message(t.Context(), b[0], b[5:])
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) > 0 {
			out = append(out, messages(answer))
		}
	}
	return strings.Join(out, " ")
}

// messages returns messages in short.
func messages(b []byte) string {
	var out []string
	f := pgproto3.NewFrontend(strings.NewReader(string(b)), nil)
	for m, err := f.Receive(); err == nil; m, err = f.Receive() {
		out = append(out, short(m))
	}
	return strings.Join(out, " ")
}

func short(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		var all []string
		for _, f := range m.Fields {
			all = append(all, fmt.Sprintf("%s:%d:%d", f.Name, f.DataTypeOID, f.Format))
		}
		return "T(" + strings.Join(all, ",") + ")"
	case *pgproto3.DataRow:
		var all []string
		for _, v := range m.Values {
			text := string(v)
			if v == nil {
				text = "∅"
			}
			all = append(all, text)
		}
		return "D(" + strings.Join(all, ",") + ")"
	case *pgproto3.CommandComplete:
		return "C(" + string(m.CommandTag) + ")"
	case *pgproto3.ReadyForQuery:
		return "Z" + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return "E" + m.Code
	case *pgproto3.NoticeResponse:
		return "N" + m.Code
	case *pgproto3.ParameterStatus:
		return "S(" + m.Name + "=" + m.Value + ")"
	case *pgproto3.ParameterDescription:
		return fmt.Sprintf("t%v", m.ParameterOIDs)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

func TestSimpleQueries(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", "EmptyQueryResponse ZI"},
		{" ; ", "EmptyQueryResponse ZI"},
		{"SELECT pid, state FROM pg_stat_replication WHERE pid = 7", "T(pid:23:0,state:25:0) D(7,streaming) C(SELECT 1) ZI"},
		{"SELECT flush_lag, backend_xmin, client_addr FROM pg_stat_replication ORDER BY pid",
			"T(flush_lag:1186:0,backend_xmin:28:0,client_addr:869:0) D(00:00:00.5,∅,10.0.0.1) D(∅,700,∅) C(SELECT 2) ZI"},
		{"SELECT pid, client_addr, client_port, backend_type FROM pg_stat_activity",
			"T(pid:23:0,client_addr:869:0,client_port:23:0,backend_type:25:0) D(7,10.0.0.1,4711,walsender) D(9,fe80::1,99,client backend) C(SELECT 2) ZI"},
		{"SELECT sender_host, sender_port, flushed_lsn FROM pg_stat_wal_receiver",
			"T(sender_host:25:0,sender_port:23:0,flushed_lsn:3220:0) D(10.0.0.9,5432,0/3000100) C(SELECT 1) ZI"},
		{"SELECT pid, ssl FROM pg_stat_ssl ORDER BY 1", "T(pid:23:0,ssl:16:0) D(7,f) D(9,t) C(SELECT 2) ZI"},
		{"SELECT 1; SELECT 2", "T(?column?:23:0) D(1) C(SELECT 1) T(?column?:23:0) D(2) C(SELECT 1) ZI"},
		{"SELECT 1; SELECT 1/0; SELECT 2", "T(?column?:23:0) D(1) C(SELECT 1) E22012 ZI"},
		{"SELECT 1; SELECT (", "E42601 ZI"},
		{"SELECT $2", "E42P02 ZI"},
		{"SELECT $1::int", "E42P02 ZI"},
		{"SHOW VERSION", "T(version:25:0) D(replproxy v1 (abc)) C(SHOW) ZI"},
		{"show  Standbys ;\n", "T("},
		{"SHOW server_version", "T(server_version:25:0) D(15.4 (Debian)) C(SHOW) ZI"},
		{"SHOW wal_segment_size", "T(wal_segment_size:25:0) D(16MB) C(SHOW) ZI"},
		{"SHOW TRANSACTION ISOLATION LEVEL", "T(transaction_isolation:25:0) D(read committed) C(SHOW) ZI"},
		{"SHOW timezone", "T(TimeZone:25:0) D(UTC) C(SHOW) ZI"},
		{"SHOW nothing", "E42704 ZI"},
		{"SHOW", "E42601 ZI"},
		{"FOO", "E42601 ZI"},
		{"INSERT INTO x VALUES (1)", "E0A000 ZI"},
		{"SELECT version(), current_database(), current_user, pg_is_in_recovery(), pg_last_wal_receive_lsn(), pg_backend_pid()",
			"T(version:25:0,current_database:19:0,current_user:19:0,pg_is_in_recovery:16:0,pg_last_wal_receive_lsn:3220:0,pg_backend_pid:23:0) " +
				"D(PostgreSQL 15.4 (Debian) behind replproxy v1,replproxy,repl,t,0/3000100,5) C(SELECT 1) ZI"},
		{"SELECT pg_current_wal_lsn()", "E55000 ZI"},
		{"SELECT CASE pg_is_in_recovery() WHEN 't' THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END", "T(pg_current_wal_lsn:3220:0) D(0/3000100) C(SELECT 1) ZI"},
		{"SELECT current_setting('server_version'), current_setting('wal_segment_size')", "T(current_setting:25:0,current_setting:25:0) D(15.4 (Debian),16MB) C(SELECT 1) ZI"},
		{"BEGIN", "C(BEGIN) ZT"},
		{"COMMIT", "N25P01 C(COMMIT) ZI"},
		{"START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT 1; END",
			"C(START TRANSACTION) T(?column?:23:0) D(1) C(SELECT 1) C(COMMIT) ZI"},
		{"BEGIN; BEGIN; ROLLBACK", "C(BEGIN) N25001 C(BEGIN) C(ROLLBACK) ZI"},
		{"BEGIN; SELECT 1/0", "C(BEGIN) E22012 ZE"},
		{"SAVEPOINT a", "E25P01 ZI"},
		{"BEGIN; SET application_name = 'x'; SAVEPOINT a; SET application_name = 'y'; ROLLBACK TO a; RELEASE SAVEPOINT a; COMMIT",
			"C(BEGIN) S(application_name=x) C(SET) C(SAVEPOINT) S(application_name=y) C(SET) S(application_name=x) C(ROLLBACK) C(RELEASE) C(COMMIT) ZI"},
		{"BEGIN; ROLLBACK TO SAVEPOINT a", "C(BEGIN) E3B001 ZE"},
		{"SET application_name = 'x'", "S(application_name=x) C(SET) ZI"},
		{"SET datestyle TO 'ISO, MDY'; SET client_encoding = utf8; SET extra_float_digits = 3; SET search_path TO a, b", "C(SET) C(SET) C(SET) C(SET) ZI"},
		{"SET datestyle = 'German'", "E0A000 ZI"},
		{"SET client_encoding = latin1", "E0A000 ZI"},
		{"SET wal_segment_size = 1", "E0A000 ZI"},
		{"SET nothing = 1", "E42704 ZI"},
		{"SET a.b = 1; SHOW a.b", "C(SET) T(a.b:25:0) D(1) C(SHOW) ZI"},
		{"SET TIME ZONE 'Asia/Kolkata'; SELECT backend_start FROM pg_stat_activity WHERE pid = 7; RESET TimeZone",
			"S(TimeZone=Asia/Kolkata) C(SET) T(backend_start:1184:0) D(2026-08-01 17:30:00+05:30) C(SELECT 1) S(TimeZone=UTC) C(RESET) ZI"},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "C(SET) ZI"},
		{"SET x", "E42601 ZI"},
		{"DISCARD ALL", "C(DISCARD ALL) ZI"},
		{"DISCARD temporary", "C(DISCARD TEMP) ZI"},
		{"BEGIN; DISCARD ALL", "C(BEGIN) E25001 ZE"},
		{"DEALLOCATE ALL", "C(DEALLOCATE ALL) ZI"},
		{"DEALLOCATE x", "E26000 ZI"},
		{"RESET ALL", "C(RESET) ZI"},
		{"SELECT name, value FROM status WHERE name IN ('name', 'store.received_lsn', 'ready')",
			"T(name:25:0,value:25:0) D(name,proxy_a) D(ready,t) D(store.received_lsn,0/3000200) C(SELECT 3) ZI"},
		{"SELECT warning FROM warnings ORDER BY 1 DESC", "T(warning:25:0) D(two) D(one) C(SELECT 2) ZI"},
		{"SELECT pid, class, usename FROM clients", "T(pid:23:0,class:25:0,usename:25:0) D(7,physical_walsender,repl) D(9,regular,app) C(SELECT 2) ZI"},
		{"SELECT state, why, since IS NULL FROM verdict", "T(state:25:0,why:25:0,?column?:16:0) D(commits wait,s2 is away,t) C(SELECT 1) ZI"},
		{"SELECT flushed_lsn, timeline FROM wal", "T(flushed_lsn:3220:0,timeline:20:0) D(0/3000100,2) C(SELECT 1) ZI"},
	} {
		if got := say(t, open(), &pgproto3.Query{String: c.query}); got != c.want && !(c.want == "T(" && strings.HasSuffix(got, " C(SHOW) ZI")) {
			t.Errorf("%s:\n%s, want\n%s", c.query, got, c.want)
		}
	}
}

// TestEveryTableAnswers: SHOW and SELECT of each, and HELP names each.
func TestEveryTableAnswers(t *testing.T) {
	s := open()
	list := say(t, s, &pgproto3.Query{String: "HELP"})
	for _, own := range ownTables() {
		if !strings.Contains(list, "SHOW "+strings.ToUpper(own.name)) {
			t.Errorf("HELP lacks %s", own.name)
		}
		for _, query := range []string{"SHOW " + own.name, "SELECT * FROM " + own.name} {
			if got := say(t, s, &pgproto3.Query{String: query}); !strings.HasPrefix(got, "T(") || !strings.HasSuffix(got, "ZI") {
				t.Errorf("%s: %s", query, got)
			}
		}
	}
	for view := range views() {
		if got := say(t, s, &pgproto3.Query{String: "SELECT * FROM pg_catalog." + view}); !strings.HasPrefix(got, "T(") || !strings.Contains(got, "C(SELECT") {
			t.Errorf("%s: %s", view, got)
		}
	}
}

func TestExtendedQueries(t *testing.T) {
	sync := &pgproto3.Sync{}
	parse := func(name, query string, oids ...uint32) *pgproto3.Parse {
		return &pgproto3.Parse{Name: name, Query: query, ParameterOIDs: oids}
	}
	bind := func(statement string, args ...string) *pgproto3.Bind {
		m := &pgproto3.Bind{PreparedStatement: statement}
		for _, a := range args {
			m.Parameters = append(m.Parameters, []byte(a))
		}
		return m
	}
	type messages = []pgproto3.FrontendMessage
	for name, c := range map[string]struct {
		said messages
		want string
	}{
		"a query": {messages{parse("", "SELECT pid FROM pg_stat_activity WHERE pid > $1"), &pgproto3.Describe{ObjectType: 'S'}, bind("", "7"),
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync},
			"ParseComplete t[23] T(pid:23:0) BindComplete T(pid:23:0) D(9) C(SELECT 1) ZI"},
		"binary": {messages{parse("s", "SELECT $1::int8", 0), &pgproto3.Bind{PreparedStatement: "s", ParameterFormatCodes: []int16{1},
			Parameters: [][]byte{{0, 0, 0, 0, 0, 0, 0, 65}}, ResultFormatCodes: []int16{1}}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync},
			"ParseComplete BindComplete T(int8:20:1) D(\x00\x00\x00\x00\x00\x00\x00A) C(SELECT 1) ZI"},
		"rows by rows": {messages{parse("", "SELECT pid FROM pg_stat_activity"), bind(""), &pgproto3.Execute{MaxRows: 1}, &pgproto3.Execute{MaxRows: 1},
			&pgproto3.Execute{MaxRows: 1}, sync},
			"ParseComplete BindComplete D(7) PortalSuspended D(9) PortalSuspended C(SELECT 0) ZI"},
		"an error skips": {messages{parse("", "SELECT nope"), bind(""), &pgproto3.Execute{}, &pgproto3.Flush{}, sync, parse("", "SELECT 1"), sync},
			"E42703 ZI ParseComplete ZI"},
		"in a transaction": {messages{&pgproto3.Query{String: "BEGIN"}, parse("", "SELECT nope"), sync, parse("", "SELECT 1"), sync,
			parse("", "ROLLBACK"), bind(""), &pgproto3.Execute{}, sync},
			"C(BEGIN) ZT E42703 ZE E25P02 ZE ParseComplete BindComplete C(ROLLBACK) ZI"},
		"nothing": {messages{parse("", ""), &pgproto3.Describe{ObjectType: 'S'}, bind(""), &pgproto3.Execute{}, sync},
			"ParseComplete t[] NoData BindComplete EmptyQueryResponse ZI"},
		"a command": {messages{parse("", "SET application_name = 'y'"), bind(""), &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Execute{}, sync},
			"ParseComplete BindComplete NoData S(application_name=y) C(SET) E55000 ZI"},
		"SHOW": {messages{parse("", "SHOW VERSION"), bind(""), &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync},
			"ParseComplete BindComplete T(version:25:0) D(replproxy v1 (abc)) C(SHOW) ZI"},
		"names":      {messages{parse("s", "SELECT 1"), parse("s", "SELECT 1"), sync}, "ParseComplete E42P05 ZI"},
		"closed":     {messages{parse("s", "SELECT 1"), &pgproto3.Close{ObjectType: 'S', Name: "s"}, bind("s"), sync}, "ParseComplete CloseComplete E26000 ZI"},
		"no portal":  {messages{&pgproto3.Execute{Portal: "p"}, sync}, "E34000 ZI"},
		"two":        {messages{parse("", "SELECT 1; SELECT 2"), sync}, "E42601 ZI"},
		"too few":    {messages{parse("", "SELECT $1::int"), bind(""), sync}, "ParseComplete E08P01 ZI"},
		"portals go": {messages{parse("", "SELECT 1"), bind(""), sync, &pgproto3.Execute{}, sync}, "ParseComplete BindComplete ZI E34000 ZI"},
		"a bad one":  {messages{parse("", "SELECT $1::int"), bind("", "x"), sync}, "ParseComplete E22P02 ZI"},
		"formats":    {messages{parse("", "SELECT 1"), &pgproto3.Bind{ResultFormatCodes: []int16{2}}, sync}, "ParseComplete E22023 ZI"},
		"a function": {messages{&pgproto3.FunctionCall{}, sync}, "E0A000 ZI ZI"},
	} {
		if got := say(t, open(), c.said...); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
}

// TestSettingsEndWithTheTransaction: as PostgreSQL's do.
func TestSettingsEndWithTheTransaction(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"BEGIN; SET application_name = 'x'; ROLLBACK; SHOW application_name", "psql"},
		{"BEGIN; SET application_name = 'x'; COMMIT; SHOW application_name", "x"},
		{"BEGIN; SET LOCAL application_name = 'x'; COMMIT; SHOW application_name", "psql"},
		{"BEGIN; SET LOCAL application_name = 'x'; SET application_name = 'y'; COMMIT; SHOW application_name", "y"},
		{"SET LOCAL application_name = 'x'; SHOW application_name", "psql"},
		{"SET application_name = 'x'; SET application_name TO DEFAULT; SHOW application_name", "psql"},
	} {
		if got := say(t, open(), &pgproto3.Query{String: c.query}); !strings.HasSuffix(got, "D("+c.want+") C(SHOW) ZI") {
			t.Errorf("%s: %s", c.query, got)
		}
	}
}

// TestFailedTransactionGoesOn: behind a savepoint, as in PostgreSQL.
func TestFailedTransactionGoesOn(t *testing.T) {
	s := open()
	got := ""
	for _, query := range []string{"BEGIN; SAVEPOINT a", "SELECT 1/0", "SELECT 1", "SAVEPOINT b", "ROLLBACK TO a", "SELECT 2", "COMMIT"} {
		got += say(t, s, &pgproto3.Query{String: query}) + "; "
	}
	if got != "C(BEGIN) C(SAVEPOINT) ZT; E22012 ZE; E25P02 ZE; E25P02 ZE; C(ROLLBACK) ZT; T(?column?:23:0) D(2) C(SELECT 1) ZT; C(COMMIT) ZI; " {
		t.Error(got)
	}
}

// TestGreeting: the client is told of settings that are other ones here than at the log-in.
func TestGreeting(t *testing.T) {
	s := New(sample, Client{Parameters: map[string]string{
		"client_encoding": "SQL_ASCII", "DateStyle": "German, DMY", "TimeZone": "no/where", "IntervalStyle": "postgres",
		"standard_conforming_strings": "on", "server_encoding": "UTF8", "application_name": "x",
	}})
	f := pgproto3.NewFrontend(strings.NewReader(string(s.Greeting())), nil)
	got := ""
	for m, err := f.Receive(); err == nil; m, err = f.Receive() {
		got += short(m)
	}
	if got != "S(client_encoding=UTF8)S(DateStyle=ISO, MDY)S(TimeZone=UTC)" {
		t.Error(got)
	}
}
