package relay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// gateRecovery makes a stopped server's next start wait in recovery, "starting up", until the function that
// it returns is called. The server ends that recovery on a new timeline.
func gateRecovery(t *testing.T, s *pgtest.Server) (open func()) {
	t.Helper()
	gate := filepath.Join(s.Install.TempDir(t), "gate")
	s.Set(t, "hot_standby = off", fmt.Sprintf("restore_command = 'for i in $(seq 1200); do test -e %s && break; sleep 0.1; done; false'", gate))
	if err := os.WriteFile(filepath.Join(s.Dir, "recovery.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(gate, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Clients that come while the primary starts up wait for it up to upstream.connect_wait, and get its own
// error, every field of it, after that.
func TestClientsWaitForStartingPrimary(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	proxy := func(name, wait string) *pgtest.Proxy {
		return pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: name, Upstream: primary.Conninfo(), Config: "upstream: {connect_wait: " + wait + "}\n",
		})
	}
	patient, hasty := proxy("patient", "2min"), proxy("hasty", "300ms")
	primary.Stop(t, pgtest.Fast)
	open := gateRecovery(t, primary)
	primary.StartNoWait(t)
	starting := "the database system is starting up"
	scene.Logged(t, "the primary", primary.Log, starting)

	file := "postmaster.c"
	if in.Major >= 17 {
		file = "backend_startup.c"
	}
	extras := []string{"", "replication=database"}
	got := make(chan string, len(extras))
	for _, extra := range extras {
		go func() {
			rows, err := pgtest.Query(t.Context(), patient.Conninfo(extra), "SELECT pg_is_in_recovery()")
			got <- fmt.Sprint(rows, err)
		}()
	}
	for _, extra := range extras {
		_, err := pgtest.Query(t.Context(), hasty.Conninfo(extra), "SELECT 1")
		if e := wantCode(t, err, "57P03"); e.Message != starting || e.File != file {
			t.Errorf("not the primary's own error: %+v", e)
		}
	}
	refused := strings.Count(primary.Log(), starting)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "patient clients to ask again", func() (bool, error) {
		return strings.Count(primary.Log(), starting) >= refused+5, nil
	})
	select {
	case early := <-got:
		t.Errorf("a client did not wait: %s", early)
	default:
	}
	open()
	for range extras {
		if text := <-got; text != "[[f]] <nil>" {
			t.Errorf("a client that waited got %s", text)
		}
	}
}
