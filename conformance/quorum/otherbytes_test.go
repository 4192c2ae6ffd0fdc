package quorum

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Two servers of one system go on from one position on the same timeline, as after a revert, and two proxies of one
// cluster follow different ones. Number, fork and beginning agree; the bytes do not. By its positions the WAL of b's
// store and of the standby behind it is beyond each commit at a's server, but it is other WAL. It releases nothing
// there, now or in b's next life, and proves nothing (ruling R32).
func TestOtherBytesDoNotVote(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	right := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	right.Exec(t, "CREATE TABLE q (n int)")
	wrong := in.Standby(t, pgtest.StandbyOptions{From: right}, pgtest.Name("wrong"), pgtest.Settings("wal_keep_size = 1GB"))
	right.Exec(t, "INSERT INTO q VALUES (0)")
	wrong.WaitReplay(t, right.CurrentLSN(t))
	wrong.Stop(t, pgtest.Fast)
	if err := os.Remove(filepath.Join(wrong.Dir, "standby.signal")); err != nil {
		t.Fatal(err)
	}
	wrong.Start(t)                                                   // a primary now, on the same timeline
	wrong.Exec(t, "INSERT INTO q SELECT generate_series(1, 100000)") // so far ahead that it is not one that lost WAL

	a, b := apart(t, right, wrong, "ANY 1 (b, s2)")
	scene.StandbyOf(t, wrong, b, "s2", "")
	right.Exec(t, "INSERT INTO q VALUES (1)") // other bytes, at about the same positions
	other := func(p *pgtest.Proxy) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, p.Name+" to see that the other one has other WAL", func() (bool, error) {
			st := scene.Status(t, p)
			return len(st.Cluster.Peers) == 1 && st.Cluster.Peers[0].Differs != 0 &&
				slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "has other WAL than this") }), nil
		})
	}
	other(a)
	other(b)
	for _, name := range []string{"b", "s2"} {
		pgtest.WaitFor(t, time.Minute, name+" over b to count for nothing at a", func() (bool, error) {
			voters := scene.Status(t, a).Quorum.Voters
			return slices.ContainsFunc(voters, func(v admin.QuorumVoter) bool {
				return v.Name == name && v.Node == "b" && strings.Contains(string(v.Standing), "another history")
			}), nil
		})
	}
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: right, Proxy: a}}
	right.WaitsFor(t, "a")
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf)
	b.Restart(t)
	other(a)
	s.Held(t, c, flushOf)

	for _, p := range []*pgtest.Proxy{a, b} {
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	pgtest.WaitFor(t, time.Minute, "a to say that the ends of both prove nothing", func() (bool, error) {
		_, tail, err := a.Get(t.Context(), "/tail?candidate=s2")
		return err == nil && strings.Contains(string(tail), "other WAL than"), err
	})
	if _, tail, _ := a.Get(t.Context(), "/tail?candidate=s2"); strings.Contains(string(tail), `"proven"`) {
		t.Errorf("proven: %s", tail)
	}
}
