package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// shownSettings returns the settings that a physical walsender is shown after its log-in with these settings, or the
// refusal.
func shownSettings(t *testing.T, conninfo string, settings map[string]string) string {
	t.Helper()
	cfg, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams = map[string]string{"replication": "true"}
	for name, value := range settings {
		cfg.RuntimeParams[name] = value
	}
	var said []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		said = append(said, fmt.Sprintf("%s %s %q", n.Severity, n.Code, n.Message))
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
	defer cancel()
	c, err := pgconn.ConnectConfig(ctx, cfg)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Sprintf("%s %s %q %q %q", e.Severity, e.Code, e.Message, e.Detail, e.Hint)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	for _, name := range []string{
		"application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
		"integer_datetimes", "IntervalStyle", "is_superuser", "scram_iterations", "search_path", "server_encoding",
		"server_version", "session_authorization", "standard_conforming_strings", "TimeZone",
	} {
		said = append(said, name+"="+c.ParameterStatus(name))
	}
	return strings.Join(said, "\n")
}

// TestSettingsBySCRAM: a physical walsender that the proxy lets in by itself is shown what the primary would show it, and
// refused what that would refuse.
func TestSettingsBySCRAM(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		primary := in.Primary(t, pgtest.HBA("host all,replication app all scram-sha-256", "host all,replication postgres,replproxy all trust"),
			pgtest.Settings("datestyle = 'SQL, DMY'", "timezone = 'Europe/Oslo'"))
		primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret'; "+
			"ALTER ROLE app SET intervalstyle = 'iso_8601'; CREATE ROLE replproxy LOGIN REPLICATION IN ROLE pg_monitor")
		primary.Exec(t, scene.AuthFunction(t))
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: fmt.Sprintf("upstream: {conninfo: %q}\n"+
			"auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)'}\n"+
			"access: [host replication all 127.0.0.1/32 scram-sha-256]\n", primary.Conninfo("user=replproxy"))})
		words := []string{"user=app", "password=secret", "sslmode=disable"}
		long := strings.Repeat("x", 62)
		for _, settings := range []map[string]string{
			{},
			{"client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "Europe/Lisbon", "extra_float_digits": "2"}, // pgjdbc
			{"client_encoding": "utf-8"}, {"client_encoding": "UNICODE"}, {"client_encoding": "latin 1"},
			{"datestyle": "dmy"}, {"DATESTYLE": "German"}, {"TimeZone": "EST5EDT"}, {"timezone": "utc"}, {"TimeZone": "FOO+3"},
			{"IntervalStyle": "ISO_8601", "search_path": "a, b"}, {"default_transaction_read_only": "1"},
			{"options": "-c DateStyle=YMD -c client_encoding=LATIN9 --interval-style=sql_standard"},
			{"options": "-c client_encoding=LATIN9", "client_encoding": "LATIN2"},
			{"wal_sender_timeout": "5s", "work_mem": "64kB"}, {"my.own": "x"},
			{"client_encoding": "none such"}, {"client_encoding": ""}, {"DateStyle": "funny"}, {"DateStyle": "ISO, SQL"},
			{"TimeZone": "Nowhere/City"}, {"IntervalStyle": "none"}, {"standard_conforming_strings": "perhaps"},
			{"work_mem": "lots"}, {"work_mem": "1"}, {"no_such": "1"}, {"options": "-c statement_timeout=abc"},
			{"log_min_messages": "debug5"}, {"port": "1"}, {"server_version": "9"}, {"max_connections": "5"}, {"autovacuum": "off"},
			{"application_name": strings.Repeat("S", 70)}, {"application_name": strings.Repeat("s", 63)},
			{"application_name": long + "éyy"}, {"application_name": long + "\x01\u00ff\u00ff"},
			{"application_name": strings.Repeat("é", 40)}, {"options": "-c application_name=" + strings.Repeat("o", 80)},
			{"application_name": ""},
			{"options": "-Z"}, {"options": "-Zfoo"}, {"options": "foo"}, {"options": "-c"}, {"options": "-e foo"}, {"options": "-- foo"},
			{"options": "--work_mem"}, {"options": "-c work_mem"}, {"options": "-e -c =1"}, {"options": "-fz"}, {"options": "-f x"},
			{"options": "-e"}, {"options": "-ec IntervalStyle=sql_standard"}, {"options": "-S 64 -fh -T -C x -"}, {"options": "-S x -Z"},
			{"options": "-eZ", "work_mem": "lots"}, {"options": "foo -e -Zx"}, {"options": "x -Z"}, {"options": "-B 10"}, {"options": "-F"},
			{"options": "-p 1 -Z"}, {"options": "-t zz"}, {"options": "-d"}, {"options": "-e --"}, {"options": "-O"}, {"options": "-d 5"},
			{"options": "-s"}, {"options": "-tpa"}, {"options": "-P"}, {"options": "-W 0"}, {"options": "-vb 3"}, {"options": "-G x", "x": "1"},
			{"options": "--no-such"}, {"options": "-N 5 -i"}, {"options": "-l"}, {"options": "-k/x"}, {"options": "-1"}, {"options": "-n"},
		} {
			want, got := shownSettings(t, primary.Conninfo(words...), settings), shownSettings(t, proxy.Conninfo(words...), settings)
			if want != got {
				t.Errorf("%v: PostgreSQL\n%s\nreplproxy\n%s", settings, want, got)
			}
		}
		// What is known holds without the primary, and what is not keeps nobody out.
		primary.Stop(t, pgtest.Fast)
		for _, settings := range []map[string]string{
			{"client_encoding": "utf-8"}, {"DateStyle": "funny"}, {"client_encoding": "LATIN3", "extra_float_digits": "3"},
		} {
			got := shownSettings(t, proxy.Conninfo(words...), settings)
			for name, value := range settings {
				if name == "client_encoding" && !strings.Contains(got, name+"="+strings.ToUpper(strings.ReplaceAll(value, "-", ""))) ||
					value == "funny" && !strings.Contains(got, "22023") {
					t.Errorf("%v without the primary:\n%s", settings, got)
				}
			}
		}
	}, 14, 15, 17, 18)
}
