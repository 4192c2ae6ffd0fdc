package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestLoginTriggerSpeaks: the notices of a login event trigger have any size, and reach the client as they do
// directly. That holds by relay and by scram, for regular sessions and for walsenders on a database. So does the error
// that it ends one with.
func TestLoginTriggerSpeaks(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, pgtest.HBA("host all,replication app all scram-sha-256",
		"host all,replication postgres,replproxy all trust"), pgtest.Settings("wal_level = logical"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret'; "+
		"CREATE ROLE replproxy LOGIN REPLICATION IN ROLE pg_monitor")
	primary.Exec(t, scene.AuthFunction(t))
	upstream := fmt.Sprintf("upstream: {conninfo: %q}\n", primary.Conninfo("user=replproxy"))
	words := []string{"user=app", "password=secret", "sslmode=disable"}
	targets := map[string]string{"direct": primary.Conninfo(words...)}
	for name, auth := range map[string]string{
		"relay": "", "scram": "auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)'}\n" +
			"access: [host all all 127.0.0.1/32 scram-sha-256]\n",
	} {
		targets[name] = pgtest.StartProxy(t, pgtest.ProxyOptions{Name: name, Config: upstream + auth}).Conninfo(words...)
	}
	for _, says := range []string{
		"RAISE NOTICE 'hello'", "RAISE NOTICE '%', repeat('x', 131066)", "RAISE NOTICE '%', repeat('x', 3000000)",
		"FOR i IN 1..200 LOOP RAISE WARNING '%', repeat('y', 20000); END LOOP",
		"PERFORM set_config('search_path', repeat('s', 300000), false); RAISE NOTICE '%', repeat('x', 200000)",
		"RAISE EXCEPTION '%', repeat('z', 400000) USING ERRCODE = 'P0042'",
	} {
		primary.Exec(t, "SET event_triggers = off; CREATE OR REPLACE FUNCTION says() RETURNS event_trigger LANGUAGE plpgsql AS $$ "+
			"BEGIN IF session_user = 'app' THEN "+says+"; END IF; END $$; DROP EVENT TRIGGER IF EXISTS says; "+
			"CREATE EVENT TRIGGER says ON login EXECUTE FUNCTION says()")
		for _, replication := range []string{"false", "database"} {
			heard := map[string]string{}
			for name, conninfo := range targets {
				heard[name] = whatIsSaid(t, conninfo+" replication="+replication)
			}
			for name, got := range heard {
				if got != heard["direct"] {
					t.Errorf("%s, replication=%s: directly %q, by %s %q", says, replication, heard["direct"], name, got)
				}
			}
		}
	}
}

// whatIsSaid sums up the messages to a client that logs in and asks for a number.
func whatIsSaid(t *testing.T, conninfo string) string {
	t.Helper()
	cfg, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	notices, size := 0, 0
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices, size = notices+1, size+len(n.Message) }
	c, err := pgconn.ConnectConfig(t.Context(), cfg)
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e):
		fmt.Fprintf(&said, "%s %s of %d bytes", e.Severity, e.Code, len(e.Message))
	case err != nil:
		fmt.Fprint(&said, err)
	default:
		defer c.Close(t.Context())
		rows, err := pgtest.QueryConn(t.Context(), c, "SELECT 42")
		fmt.Fprint(&said, rows, err, len(c.ParameterStatus("search_path")))
	}
	fmt.Fprintf(&said, ", %d notices of %d bytes", notices, size)
	return said.String()
}
