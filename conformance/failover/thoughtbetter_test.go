package failover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestOperatorThinksBetter: a primary has lost WAL, and an operator accepts that. The proxy was not restarted yet when a
// server with that WAL is the primary after all. It is followed, and the word and its loss are over: the next start sets
// nothing aside of what was acknowledged since.
func TestOperatorThinksBetter(t *testing.T) {
	t.Parallel()
	for name, promoted := range map[string]bool{"the standby is promoted": true, "the right volume is mounted again": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pgtest.Usual(t)
			primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
			primary.Exec(t, "CREATE TABLE q (n int)")
			s1 := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("s1"),
				pgtest.Settings("wal_retrieve_retry_interval = 200ms"))
			proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "proxy", Upstream: scene.Hosts(primary, s1),
				Config: "name: proxy\n" + scene.RuleFile("ANY 1 (proxy)")})
			s1.Set(t, "primary_conninfo = '"+proxy.Conninfo("application_name=s1")+"'")
			s1.Reload()
			for _, s := range []*pgtest.Server{primary, s1} {
				s.Set(t, "synchronous_standby_names = 'proxy'")
				s.Reload()
			}
			pgtest.WaitCaughtUp(t, primary, s1)
			primary.Stop(t, pgtest.Immediate)
			revert := primary.Snapshot(t)
			primary.Start(t)
			proxy.WaitReady(t)
			primary.Exec(t, "INSERT INTO q VALUES (2)")
			pgtest.WaitCaughtUp(t, primary, s1)
			primary.Stop(t, pgtest.Immediate)
			right := primary.Dir + ".right"
			move(t, primary.Dir, right)
			revert(t)
			primary.Start(t)
			waitLack(t, proxy)
			proxy.Program(t, "accept-timeline", "1", "--data-dir", proxy.DataDir)
			scene.Logged(t, proxy.Name, proxy.Log, "WAL is given up that this proxy's own store has: restart the proxy")

			primary.Stop(t, pgtest.Immediate)
			after := s1
			if promoted {
				s1.Promote(t)
			} else {
				move(t, primary.Dir, primary.Dir+".wrong")
				move(t, right, primary.Dir)
				primary.Start(t)
				after = primary
			}
			after.Exec(t, "INSERT INTO q VALUES (3)") // acknowledged by the proxy's store
			acked := after.CurrentLSN(t)
			flushed(t, proxy, acked)
			if st := scene.Status(t, proxy); len(st.GivenUp) > 0 || strings.Contains(strings.Join(st.Warnings, "\n"), "aside") {
				t.Errorf("given up: %+v, warnings: %q", st.GivenUp, st.Warnings)
			}
			proxy.Terminate(t)
			after.Stop(t, pgtest.Immediate) // and does not come back
			proxy.StartNoWait(t)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have started", func() (bool, error) {
				code, _, err := proxy.Get(t.Context(), "/status")
				return err == nil && code == 200, nil
			})
			aside, err := os.ReadDir(filepath.Join(proxy.DataDir, "diverged"))
			if st := scene.Status(t, proxy).Store; st.Flushed < acked || len(aside) > 0 {
				t.Errorf("the store has [%s, %s) of timeline %d, %s was acknowledged; set aside: %v, %v",
					st.Oldest, st.Flushed, st.Timeline, acked, aside, err)
			}
		})
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
