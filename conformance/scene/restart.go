package scene

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Sessions returns the pids of the walsenders of a proxy, by standby.
func (s *Site) Sessions(t *testing.T) map[string]int32 {
	t.Helper()
	return (&Cluster{Proxy: s.Proxy}).Sessions(t)
}

// ShowsVersion looks at all that the proxy says of its upstream's version.
func (s *Site) ShowsVersion(t *testing.T, in *pgtest.Install) {
	t.Helper()
	version := func(what, text string) {
		t.Helper()
		if text != in.Version && !strings.HasPrefix(text, in.Version+" ") {
			t.Errorf("%s is %q, expected %s", what, text, in.Version)
		}
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to stream", func() (bool, error) {
		return Status(t, s.Proxy).Upstream.State == "streaming", nil
	})
	version("/status", Status(t, s.Proxy).Upstream.ServerVersion)
	for _, class := range []string{"", "replication=database", "replication=true"} {
		conn, err := pgtest.Dial(t.Context(), s.Proxy.Conninfo(class))
		if err != nil {
			t.Fatal(err)
		}
		version("ParameterStatus with "+class, conn.ParameterStatus("server_version"))
		rows, err := pgtest.QueryConn(t.Context(), conn, "SHOW server_version")
		if err != nil {
			t.Fatal(err)
		}
		version("SHOW with "+class, rows[0][0])
		if err := conn.Close(t.Context()); err != nil { // and the walsender that it has on the primary
			t.Error(err)
		}
	}
}
