package pgtest

import (
	"fmt"
	"strings"
	"testing"
)

// EqualData compares all that users can see in two servers, and fails the test where they differ. That is roles and
// databases, and in each database the catalog's size, every table's rows and every sequence's state. It does not wait:
// see WaitCaughtUp. Nobody may write meanwhile.
func EqualData(t testing.TB, a, b *Server) {
	t.Helper()
	da, db := a.Fingerprint(t), b.Fingerprint(t)
	if len(da) != len(db) {
		t.Errorf("%s has %d objects, %s has %d", a.Name, len(da), b.Name, len(db))
	}
	for i := range min(len(da), len(db)) {
		if da[i] != db[i] {
			t.Errorf("data differ:\n  %s: %s\n  %s: %s", a.Name, da[i], b.Name, db[i])
		}
	}
}

// EqualTable compares the rows of one table of database postgres, whatever their order.
func EqualTable(t testing.TB, a, b *Server, table string) {
	t.Helper()
	sql := tableHash(table)
	if ha, hb := a.QueryRow(t, sql), b.QueryRow(t, sql); strings.Join(ha, " ") != strings.Join(hb, " ") {
		t.Errorf("table %s differs: %s has %v, %s has %v", table, a.Name, ha, b.Name, hb)
	}
}

// Fingerprint returns one line per object of a server: name, number of rows, hash.
func (s *Server) Fingerprint(t testing.TB) []string {
	t.Helper()
	lines := []string{"roles " + join(s.SQL(t, "SELECT rolname, oid, rolpassword FROM pg_authid ORDER BY 1"))}
	for _, db := range s.SQL(t, "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1") {
		lines = append(lines, s.databaseFingerprint(t, db[0])...)
	}
	return lines
}

func (s *Server) databaseFingerprint(t testing.TB, db string) []string {
	t.Helper()
	name := "dbname=" + db
	var lines []string
	var catalogs []string
	for _, c := range []string{"pg_class", "pg_attribute", "pg_index", "pg_proc", "pg_type", "pg_constraint"} {
		catalogs = append(catalogs, "(SELECT count(*) FROM "+c+")")
	}
	lines = append(lines, db+" catalog "+join(s.SQL(t, "SELECT "+strings.Join(catalogs, ", "), name)))
	const userRelations = `SELECT relkind, quote_ident(nspname) || '.' || quote_ident(relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'm', 'S') AND relpersistence = 'p'
		AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 2`
	for _, r := range s.SQL(t, userRelations, name) {
		sql := tableHash(r[1])
		if r[0] == "S" {
			sql = sequenceState(r[1])
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", db, r[1], join(s.SQL(t, sql, name))))
	}
	return lines
}

// sequenceState returns the value up to which a sequence has written WAL: a standby shows that as last_value, a
// primary shows the value that it gave out last.
func sequenceState(sequence string) string {
	return "SELECT last_value + log_cnt * (SELECT seqincrement FROM pg_sequence WHERE seqrelid = '" +
		sequence + "'::regclass), is_called FROM " + sequence
}

func tableHash(table string) string {
	return "SELECT count(*), coalesce(sum(hashtextextended(x::text, 0)::numeric), 0) FROM " + table + " x"
}

func join(rows [][]string) string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Join(r, " "))
	}
	return strings.Join(lines, "; ")
}
