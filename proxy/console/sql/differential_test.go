package sql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type table struct {
	columns []sql.Column
	rows    [][]datum.Value
}

func columns(text string) (all []sql.Column) {
	for _, f := range strings.Fields(text) {
		name, typ, _ := strings.Cut(f, ":")
		all = append(all, sql.Column{Name: name, Type: datum.Named(typ)})
	}
	return all
}

// snapshot returns the tables that both sides show, with values of every type, NULLs, and ties.
func snapshot() map[string]table {
	at := time.Date(2026, 8, 1, 12, 0, 0, 500e6, time.UTC)
	ip := func(s string) datum.Value { return netip.MustParsePrefix(s) }
	lag := func(ms int64) datum.Value { return datum.Span{Micros: ms * 1000} }
	type row = []datum.Value
	return map[string]table{
		"pg_stat_replication": {
			columns("pid:int4 usesysid:oid usename:name application_name:text client_addr:inet client_hostname:text client_port:int4 " +
				"backend_start:timestamptz backend_xmin:xid state:text sent_lsn:pg_lsn write_lsn:pg_lsn flush_lsn:pg_lsn " +
				"replay_lsn:pg_lsn write_lag:interval flush_lag:interval replay_lag:interval sync_priority:int4 sync_state:text reply_time:timestamptz"),
			[][]datum.Value{
				row{int64(103), int64(10), "repl", "s3", ip("10.0.0.3/32"), nil, int64(5001), at, int64(700), "streaming", lsn.LSN(0x3000200), lsn.LSN(0x3000200), lsn.LSN(0x3000100), lsn.LSN(0x3000000), lag(1), lag(250), lag(3600123), int64(1), "sync", at.Add(26 * time.Hour)},
				row{int64(101), int64(16384), "repl", "s1", ip("10.0.0.20/32"), "host", int64(5002), at.Add(time.Hour), nil, "streaming", lsn.LSN(0x100000000), lsn.LSN(0x3000200), lsn.LSN(0x3000200), nil, nil, nil, nil, int64(2), "potential", at.Add(time.Minute)},
				row{int64(104), int64(10), "s4", "s4", nil, nil, int64(-1), at, int64(5), "catchup", lsn.LSN(0x2000000), nil, nil, nil, nil, lag(0), nil, int64(0), "async", nil},
				row{int64(102), int64(10), "Other", "ärger", ip("fe80::1/128"), nil, int64(5003), at.Add(-400 * 24 * time.Hour), nil, nil, nil, nil, nil, nil, nil, datum.Span{Days: 1, Micros: 1}, nil, int64(0), "async", at},
			},
		},
		"pg_replication_slots": {
			columns("slot_name:name plugin:name slot_type:text active:bool active_pid:int4 xmin:xid catalog_xmin:xid database:name " +
				"restart_lsn:pg_lsn confirmed_flush_lsn:pg_lsn wal_status:text safe_wal_size:int8"),
			[][]datum.Value{
				row{"s1", nil, "physical", true, int64(101), int64(700), nil, nil, lsn.LSN(0x3000000), nil, "reserved", int64(5000000000)},
				row{"barman", nil, "physical", false, nil, nil, nil, nil, lsn.LSN(0x1000000), nil, "extended", int64(-7)},
				row{"empty", nil, "physical", nil, nil, nil, nil, nil, nil, nil, nil, nil},
			},
		},
	}
}

// create returns the SQL that makes the tables as views of a schema.
func create(tables map[string]table) string {
	var b strings.Builder
	b.WriteString("CREATE SCHEMA ours;\n")
	// The server's end of WAL moves by itself.
	b.WriteString("CREATE FUNCTION ours.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE sql STABLE AS $$SELECT '0/5000000'::pg_lsn$$;\n")
	for name, t := range tables {
		var rows, cols []string
		for i, c := range t.columns {
			cols = append(cols, fmt.Sprintf("column%d::%s AS %s", i+1, c.Type.CatalogName(), c.Name))
		}
		for _, r := range t.rows {
			var values []string
			for i, v := range r {
				text := "NULL"
				if v != nil {
					text = "'" + datum.Format(t.columns[i].Type, v, time.UTC) + "'"
				}
				values = append(values, text)
			}
			rows = append(rows, "("+strings.Join(values, ", ")+")")
		}
		fmt.Fprintf(&b, "CREATE VIEW ours.%s AS SELECT %s FROM (VALUES %s) x;\n", name, strings.Join(cols, ", "), strings.Join(rows, ", "))
	}
	return b.String()
}

// world shows the tables, and what a server says of itself.
func world(t *testing.T, conn *pgconn.PgConn, tables map[string]table) *sql.World {
	t.Helper()
	ask := func(query string) (datum.Type, string, bool) {
		r := conn.ExecParams(t.Context(), query, nil, nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 {
			return 0, "", false
		}
		return datum.Type(r.FieldDescriptions[0].DataTypeOID), string(r.Rows[0][0]), true
	}
	functions := map[string]datum.Value{}
	types := map[string]datum.Type{}
	for _, name := range []string{"now()", "version()", "pg_is_in_recovery()", "pg_current_wal_lsn()", "current_database()", "current_user",
		"session_user", "user", "pg_backend_pid()"} {
		typ, text, ok := ask("SELECT " + name)
		if !ok {
			t.Fatal(name)
		}
		v, err := datum.Parse(typ, text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimSuffix(name, "()")
		functions[name], types[name] = v, typ
	}
	functions["pg_last_wal_receive_lsn"], types["pg_last_wal_receive_lsn"] = nil, datum.LSN
	_, encoding, _ := ask("SELECT current_setting('server_encoding')")
	_, version, _ := ask("SELECT current_setting('server_version_num')")
	return &sql.World{
		Columns: func(name string) []sql.Column { return tables[name].columns },
		Rows:    func(name string) [][]datum.Value { return tables[name].rows },
		Call: func(name string) (datum.Type, datum.Value, bool) {
			typ, ok := types[name]
			return typ, functions[name], ok
		},
		Setting: func(name string) (string, bool) {
			v, ok := map[string]string{"server_encoding": encoding, "server_version_num": version}[name]
			return v, ok
		},
		Now: functions["now"].(time.Time), Zone: time.UTC,
	}
}

// statements reads testdata/statements.sql.
func statements(t testing.TB) (all []statement) {
	t.Helper()
	text, err := os.ReadFile("testdata/statements.sql")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`'[^']*'|\S+`)
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") || !strings.HasPrefix(strings.ToLower(line), "select") {
			continue
		}
		query, bind, _ := strings.Cut(line, ` \bind `)
		s := statement{query: query}
		for _, w := range word.FindAllString(bind, -1) {
			typ, value, typed := strings.Cut(w, "=")
			if !typed {
				typ, value = "", w
			}
			oid := map[string]datum.Type{"int2": datum.Int2, "int4": datum.Int4, "int8": datum.Int8, "varchar": datum.Varchar}[typ]
			s.types = append(s.types, oid)
			s.args = append(s.args, []byte(strings.Trim(value, "'")))
		}
		all = append(all, s)
	}
	return all
}

type statement struct {
	query string
	args  [][]byte
	types []datum.Type // 0: to be found
}

func (s statement) oids() (all []uint32) {
	for _, typ := range s.types {
		all = append(all, uint32(typ))
	}
	return all
}

// TestDifferential: what the console answers, a server answers: rows, names, types and both formats. What a server
// refuses, the console refuses, and with the same error unless it says that it lacks something. Nothing else may fail.
func TestDifferential(t *testing.T) {
	tables := snapshot()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		server := in.Primary(t)
		server.Exec(t, create(tables))
		conn := server.Connect(t)
		ctx := t.Context()
		run := func(query string) {
			if _, err := conn.Exec(ctx, query).ReadAll(); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		run("SET search_path = ours, pg_catalog; SET TimeZone = 'UTC'; BEGIN; SAVEPOINT s")
		w := world(t, conn, tables)
		w.Major = in.Major
		answered, lacking := 0, 0
		for _, s := range statements(t) {
			for _, format := range []int16{0, 1} {
				theirs := conn.ExecParams(ctx, strings.ReplaceAll(s.query, "pg_catalog.pg_stat", "ours.pg_stat"), s.args, s.oids(), nil, []int16{format}).Read()
				if theirs.Err != nil {
					run("ROLLBACK TO s")
				}
				query, ours, err := answer(w, s, format)
				switch {
				case err != nil && format == 1:
				case err != nil && err.Code == pgerror.FeatureNotSupported && err.Position > 0:
					lacking++
				case err != nil:
					sameError(t, s, err, theirs.Err)
				default:
					answered++
				}
				if err == nil {
					same(t, ctx, s, format, query, ours, theirs)
				}
			}
		}
		t.Logf("%d statements answered, %d refused as not supported", answered, lacking)
		if answered < 200 {
			t.Errorf("only %d statements were answered", answered)
		}
	}, 14, 15, 18)
}

// answer runs one statement here. The rows are in a format.
func answer(w *sql.World, s statement, format int16) (*sql.Query, [][][]byte, *pgerror.Error) {
	all, err := sql.Parse(s.query)
	if err != nil {
		return nil, nil, pgerror.From(err)
	}
	q, err := sql.Prepare(all[0], w, s.types)
	if err != nil {
		return nil, nil, pgerror.From(err)
	}
	var args []datum.Value
	for i, typ := range q.Parameters {
		v, err := datum.Parse(typ, string(s.args[i]), time.UTC)
		if err != nil {
			return nil, nil, pgerror.From(err)
		}
		args = append(args, v)
	}
	rows, err := q.Run(w, args)
	if err != nil {
		return nil, nil, pgerror.From(err)
	}
	out := [][][]byte{}
	for _, r := range rows {
		var values [][]byte
		for i, v := range r {
			var b []byte
			switch typ := q.Columns[i].Type; {
			case v == nil:
			case format == 1:
				b = datum.AppendBinary([]byte{}, typ, v)
			default:
				b = []byte(datum.Format(typ, v, w.Zone))
			}
			values = append(values, b)
		}
		out = append(out, values)
	}
	return q, out, nil
}

func sameError(t *testing.T, s statement, ours *pgerror.Error, theirs error) {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(theirs, &e) {
		t.Errorf("%s: %v (at %d), and the server answers: %v", s.query, ours, ours.Position, theirs)
		return
	}
	if string(ours.Code) != e.Code || ours.Message != e.Message || ours.Position != int(e.Position) {
		t.Errorf("%s:\n%s %s (at %d), and the server says\n%s %s (at %d)", s.query, ours.Code, ours.Message, ours.Position, e.Code, e.Message, e.Position)
	}
}

func same(t *testing.T, _ context.Context, s statement, format int16, q *sql.Query, ours [][][]byte, theirs *pgconn.Result) {
	t.Helper()
	if theirs.Err != nil {
		t.Errorf("%s: answered %q, and the server says %v", s.query, ours, theirs.Err)
		return
	}
	for i, f := range theirs.FieldDescriptions {
		if i >= len(q.Columns) || q.Columns[i].Name != f.Name || uint32(q.Columns[i].Type) != f.DataTypeOID ||
			q.Columns[i].Type.Size() != f.DataTypeSize || f.TypeModifier != -1 {
			t.Errorf("%s: column %d of %v, the server has %+v", s.query, i, q.Columns, f)
			return
		}
	}
	if len(ours) != len(theirs.Rows) {
		t.Errorf("%s: %d rows, the server has %d", s.query, len(ours), len(theirs.Rows))
		return
	}
	for i, r := range theirs.Rows {
		for j, v := range r {
			if !bytes.Equal(v, ours[i][j]) || (v == nil) != (ours[i][j] == nil) {
				t.Errorf("%s: row %d, column %d, format %d: %q, the server has %q", s.query, i, j, format, ours[i][j], v)
			}
		}
	}
}
