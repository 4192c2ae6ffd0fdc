package scene

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Puller is the proxy whose walsender the primary has, once it has one and the others stream from that.
func Puller(t *testing.T, primary *pgtest.Server, all []*pgtest.Proxy) *pgtest.Proxy {
	t.Helper()
	var found *pgtest.Proxy
	pgtest.WaitFor(t, time.Minute, "one proxy to pull and the others to follow it", func() (bool, error) {
		rows := pgtest.PgStatReplication(t, primary)
		if len(rows) != 1 || rows[0].State != "streaming" {
			return false, nil
		}
		for _, p := range all {
			if !p.Running() {
				continue
			}
			u, own := Status(t, p).Upstream, p.Name == rows[0].ApplicationName
			if u.State != admin.Streaming || own != (u.Member == "") || !own && u.Member != rows[0].ApplicationName {
				return false, nil
			}
			if own {
				found = p
			}
		}
		return found != nil, nil
	})
	return found
}
