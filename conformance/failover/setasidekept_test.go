package failover

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// An operator gives lost WAL up on both proxies and restarts them: they set it aside. Then he changes his mind, with the
// primary stopped, and fences. What tail asks for leads to a proof of the standby that has the WAL.
func TestKeptAfterItWasSetAside(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	port := pgtest.FreePort(t)
	hosts := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres", primary.Port, port)
	all := scene.ClusterOf(t, hosts, scene.RuleFile("ANY 1 (s1, s2)"), "a", "b")
	b := all[1]
	s1 := scene.StandbyOf(t, primary, b, "s1", "", pgtest.Port(port))
	scene.WaitSatisfiable(t, all...)
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, s1)
	lost := primary.CurrentLSN(t)
	for _, p := range all {
		flushed(t, p, lost)
	}
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	for _, p := range all {
		waitLack(t, p)
	}
	s1.Stop(t, pgtest.Fast)
	for _, p := range all {
		p.Program(t, "accept-timeline", "1", "--data-dir", p.DataDir)
		scene.Logged(t, p.Name, p.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	}
	primary.Stop(t, pgtest.Fast)
	for _, p := range all {
		p.Terminate(t)
		p.StartNoWait(t)
		scene.Logged(t, p.Name, p.Log, "WAL that was given up is set aside, the store begins anew")
	}
	for _, p := range all {
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	s1.Start(t)
	end := s1.QueryRow(t, "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())")[0]
	ask := "/tail?candidate=s1&end=s1=" + end
	asked := regexp.MustCompile(`say --end ([ab]=[0-9A-F/]+):`)
	var ends []string
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both ends to be asked for", func() (bool, error) {
		_, body, err := b.Get(t.Context(), ask)
		ends = nil
		for _, m := range asked.FindAllStringSubmatch(string(body), -1) {
			ends = append(ends, m[1])
		}
		return len(ends) == 2, err
	})
	for _, end := range ends {
		ask += "&end=" + end
	}
	_, body, err := b.Get(t.Context(), ask)
	if err != nil || !strings.Contains(string(body), `"proven"`) {
		t.Errorf("%v\n%s", err, body)
	}
}
