package relay

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestVotersAreBound: a role with REPLICATION takes no name of a voter that is bound to another one, by whatever
// session; its own standby streams.
func TestVotersAreBound(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	primary.Exec(t, "CREATE ROLE standby1 REPLICATION LOGIN; CREATE ROLE cdc REPLICATION LOGIN")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(),
		Config: "synchronous_standby_names: ANY 1 (s1)\nvoters: [s1 role standby1]\n"})
	for _, session := range []string{"replication=true", "replication=database"} {
		for _, name := range []string{"s1", "S1"} {
			_, err := pgtest.Query(t.Context(), proxy.Conninfo("user=cdc", session, "application_name="+name),
				"START_REPLICATION PHYSICAL 0/1000000 TIMELINE 1")
			var e *pgconn.PgError
			if !errors.As(err, &e) || e.Code != "42501" {
				t.Errorf("%s as %s: %v", session, name, err)
			}
		}
	}
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary,
		PrimaryConninfo: proxy.Conninfo("user=standby1", "application_name=s1")})
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, standby)
}
