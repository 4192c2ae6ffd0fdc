package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestSilentHelperConnection: the connection over which a role is asked for is forgotten by the network without a word.
// Another one is asked beside it, and the log-in succeeds.
func TestSilentHelperConnection(t *testing.T) {
	t.Parallel()
	s := scene.NewSCRAMSite(t, pgtest.Need(t, 15), `access: ["hostssl all,replication all all scram-sha-256"]`)
	leg := scene.LegTo(t, s.Primary.Port, 1)
	scene.Reload(t, s.Proxy, strings.Replace(s.File, fmt.Sprint("port=", s.Primary.Port), fmt.Sprint("port=", leg.Port), 1))
	pgtest.WaitFor(t, time.Minute, "the stream through the leg", func() (bool, error) {
		up := scene.Status(t, s.Proxy).Upstream
		return up.State == "streaming" && strings.HasSuffix(up.Endpoint, fmt.Sprint(leg.Port)), nil
	})
	asked := time.Now()
	for _, kind := range []string{"", "replication=true"} {
		sql := map[string]string{"": "SELECT 1", "replication=true": "IDENTIFY_SYSTEM"}[kind]
		pgtest.WaitFor(t, time.Minute, "cache_ttl to be over", func() (bool, error) {
			return time.Since(asked) > 300*time.Millisecond, nil
		})
		before := scene.Status(t, s.Proxy).Auth.Questions
		leg.Set(scene.Weather{Hole: true})
		began, done := time.Now(), make(chan error, 1)
		go func() {
			_, err := pgtest.Query(t.Context(), s.Through(kind), sql)
			done <- err
		}()
		leg.For(500*time.Millisecond, scene.Weather{Hole: true}) // the question is under way, and lost
		if err := <-done; err != nil {
			t.Errorf("a log-in with %q: %v", kind, err)
		}
		asked = time.Now()
		if took := time.Since(began); took > 6*time.Second { // a second is what it waits; the rest is the machine's
			t.Errorf("a log-in with %q took %v", kind, took)
		}
		if n := scene.Status(t, s.Proxy).Auth.Questions; n == before {
			t.Errorf("with %q nobody asked: the test is of no use", kind)
		}
	}
}
