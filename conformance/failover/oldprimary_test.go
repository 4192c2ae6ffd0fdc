package failover

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A standby is promoted while the old primary lives and is followed: the proxy says so at once, and the operator has
// chosen what becomes of relayed sessions. A server that lacks acknowledged WAL changes nothing.
func TestOldPrimaryIsFollowed(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"warn", "refuse_new", "end"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			in := pgtest.Usual(t)
			c := &scene.Cluster{In: in, Primary: in.Primary(t)}
			c.Primary.Exec(t, "CREATE TABLE q (n int)")
			c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, pgtest.Name("candidate"))
			c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
				Upstream: scene.Hosts(c.Primary, c.Candidate),
				Config:   "upstream: {connect_wait: 200ms, leave_old_primary: " + policy + "}\n",
			})
			pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
			sleeping := make(chan error, 1)
			go func() {
				_, err := pgtest.Query(t.Context(), c.Proxy.Conninfo("application_name=sleeps"), "SELECT pg_sleep(3600)")
				sleeping <- err
			}()
			const sleeps = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sleeps' AND state = 'active'"
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "a relayed session", func() (bool, error) {
				return c.Primary.Scalar(t, sleeps) == "1", nil
			})
			c.Candidate.Promote(t)
			scene.Logged(t, "the proxy", c.Proxy.Log, "the one that is followed is an old primary")
			if policy == "end" {
				if err := <-sleeping; err == nil {
					t.Error("the relayed session did not end")
				}
				pgtest.WaitFor(t, pgtest.ReplayTimeout, "the new primary to be followed", func() (bool, error) {
					st := scene.Status(t, c.Proxy)
					return st.Store.Timeline == 2 && st.Upstream.Higher == nil, nil
				})
				if got := <-c.Session(t); got != c.Candidate.Name {
					t.Errorf("a new session got %s", got)
				}
				return
			}
			h := scene.Status(t, c.Proxy)
			if h.Upstream.Higher == nil || h.Upstream.Higher.Timeline != 2 || h.Store.Timeline != 1 ||
				!strings.Contains(strings.Join(h.Warnings, "\n"), "which is followed, is an old primary") {
				t.Errorf("%+v, %q", h.Upstream.Higher, h.Warnings)
			}
			_, err := pgtest.Query(t.Context(), c.Proxy.Conninfo(), "SELECT 1")
			if policy == "refuse_new" && (err == nil || !strings.Contains(err.Error(), "57P03")) || policy == "warn" && err != nil {
				t.Errorf("a new session: %v", err)
			}
			if got := c.Primary.Scalar(t, sleeps); got != "1" {
				t.Errorf("%s relayed sessions", got)
			}
			// The promotion was a mistake: all is as before.
			c.Candidate.Stop(t, pgtest.Fast)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, "the server to be gone", func() (bool, error) {
				return scene.Status(t, c.Proxy).Upstream.Higher == nil, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := pgtest.Query(ctx, c.Proxy.Conninfo(), "SELECT 1"); err != nil {
				t.Error(err)
			}
			c.Primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sleeps'")
			<-sleeping
		})
	}
}
