package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestBusyIsNotDown: a role that has lost REPLICATION, or has another password, gets no WAL because the primary is there
// and does not answer the question (ruling R33). Once it is down, what was known is used.
func TestBusyIsNotDown(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := scene.NewSCRAMSite(t, in, "access: [hostssl replication app 127.0.0.1/32 scram-sha-256]\n")
	const lost, unknown = "42501 must be superuser or replication role to start walsender", "57P03 cannot connect to the primary"
	becomes := func(why, want string) {
		t.Helper()
		said := ""
		pgtest.WaitFor(t, time.Minute, fmt.Sprintf("%s: %q", why, want), func() (bool, error) {
			said = s.Refusal(t, "IDENTIFY_SYSTEM")
			return said == want, nil
		})
	}
	becomes("at first", "")
	for _, busy := range []struct{ name, begin, end string }{
		{"no connection left", "ALTER ROLE replproxy CONNECTION LIMIT 0", "ALTER ROLE replproxy CONNECTION LIMIT -1"},
		{"the question fails", "REVOKE EXECUTE ON FUNCTION replproxy.auth FROM replproxy", "GRANT EXECUTE ON FUNCTION replproxy.auth TO replproxy"},
		{"no log-in by SQL", "ALTER ROLE replproxy PASSWORD 'another'", "ALTER ROLE replproxy PASSWORD 'own'"},
	} {
		s.Primary.Exec(t, busy.begin)
		s.Primary.Exec(t, "ALTER ROLE app NOREPLICATION")
		becomes(busy.name, unknown)
		for range 3 { // whatever else may have been remembered since
			if said := s.Refusal(t, "IDENTIFY_SYSTEM"); said != unknown {
				t.Errorf("%s: %q", busy.name, said)
			}
		}
		s.Primary.Exec(t, busy.end)
		becomes(busy.name+", no more", lost)
		s.Primary.Exec(t, "ALTER ROLE app REPLICATION")
		becomes(busy.name+", and again a standby's role", "")
	}
	s.Primary.Stop(t, pgtest.Immediate)
	becomes("without the primary", "")
}
