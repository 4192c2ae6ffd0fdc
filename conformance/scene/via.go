package scene

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Puller returns the proxy whose walsender the primary has, once it has one and the others stream from that.
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
			st, own := Status(t, p), p.Name == rows[0].ApplicationName
			u, from := st.Upstream, map[bool]string{true: "primary", false: "chosen member"}[own]
			if len(st.Sources) > 0 && StreamsFrom(st) != from { // v0.1.0 does not say
				return false, nil
			}
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

// StreamsFrom returns which of the sources of WAL a proxy streams from; "": none.
func StreamsFrom(st admin.Status) (source string) {
	for _, s := range st.Sources {
		if s.Streams {
			source += s.Source
		}
	}
	return source
}
