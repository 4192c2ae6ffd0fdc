package upstream

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Our SQL reads the same whatever the settings of the role, also in a database, and conninfo's options say. The
// session is bounded at the server.
func TestRoleSettingsDoNotReachOurSQL(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t)
		settings := []string{
			"statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_session_timeout = '1ms'",
			"idle_in_transaction_session_timeout = '1ms'", "default_transaction_read_only = on",
			"default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on",
			"search_path = 'evil, pg_catalog'", "client_min_messages = 'debug5'", "row_security = off",
			"DateStyle = 'German'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Kolkata'",
			"client_encoding = 'LATIN1'", "standard_conforming_strings = off", "role = 'nobody'",
			"bytea_output = 'escape'", "synchronous_commit = 'remote_apply'",
		}
		if in.Major >= 17 {
			settings = append(settings, "transaction_timeout = '1s'")
		}
		srv.Exec(t, "CREATE ROLE nobody; CREATE ROLE rp LOGIN REPLICATION IN ROLE nobody; CREATE SCHEMA evil; "+
			"GRANT USAGE ON SCHEMA evil TO public; "+
			"CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$")
		for _, line := range settings {
			srv.Exec(t, "ALTER ROLE rp SET "+line)
			srv.Exec(t, "ALTER ROLE rp IN DATABASE postgres SET "+line)
		}
		conninfo := strings.ReplaceAll(srv.Conninfo(), "dbname=postgres", "") + " user=rp options='-c statement_timeout=1'"
		s, err := config(t, conninfo).Connect(t.Context(), map[string]string{"application_name": "px"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, c := range [][2]string{
			{"SELECT current_database()", DefaultDatabase},
			{"SELECT current_user", "rp"},
			{"SELECT current_setting('statement_timeout')", statementTimeout},
			{"SELECT '2026-02-03 04:05:06+00'::timestamptz", "2026-02-03 04:05:06+00"},
			{`SELECT '\'`, `\`},
			{"SELECT 'x' FROM pg_sleep(0.05)", "x"},
			{"SELECT 'x' FROM pg_create_physical_replication_slot('a', true)", "x"},
			{"SELECT 'x' FROM pg_replication_slot_advance('a', pg_current_wal_lsn())", "x"},
			{"SELECT 'x' FROM (SELECT pg_drop_replication_slot('a')) a", "x"},
			{"SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout' AND setting <> '0'", "0"},
		} {
			res, err := s.Query(t.Context(), c[0])
			if err != nil {
				t.Fatalf("%s: %v", c[0], err)
			}
			if got := string(res[0].Rows[0][0]); got != c[1] {
				t.Errorf("%s: %q, expected %q", c[0], got, c[1])
			}
		}
	}, 14, 18)
}
