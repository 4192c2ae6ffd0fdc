package hostile

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestHostileLogInsBySCRAM plays the log-ins to a proxy that verifies by itself: it answers as PostgreSQL does.
func TestHostileLogInsBySCRAM(t *testing.T) {
	w := &world{in: pgtest.Need(t, 15)}
	w.primary = w.in.Primary(t, pgtest.SCRAM(password))
	w.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: w.primary.Conninfo(), Password: password,
		Config: "auth: {method: scram, query: 'SELECT rolpassword, rolcanlogin, rolreplication, rolsuper, rolvaliduntil " +
			"FROM pg_authid WHERE rolname = $1'}\n" +
			"access: [host all all 127.0.0.0/8 scram-sha-256, host replication all 127.0.0.0/8 scram-sha-256]\n",
	})
	before := w.size(t)
	for _, a := range logIns() {
		want := a.want
		if strings.Contains(a.name, ": answer of") {
			want = a.postgres
		}
		t.Run(a.name, func(t *testing.T) {
			if err := a.run(t.Context(), w, w.proxy.Port, want); err != nil {
				t.Error(err)
			}
		})
	}
	w.verifyStore(t, w.proxy)
	t.Logf("before: %v; after: %v", before, w.sizeBack(t, before))
}
