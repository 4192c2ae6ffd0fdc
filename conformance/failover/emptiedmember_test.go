package failover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// The store of a member that had reported is emptied, and another one streams from the primary meanwhile. The member looks
// there whether that is the WAL which it had. It is, so it follows, and its standby gets all.
func TestEmptiedMemberLooksAtTheOther(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (s1, s2)")+"upstream:\n  via: cluster\n", "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary}}
	var standbys []*pgtest.Server
	for i, p := range all {
		standbys = append(standbys, scene.StandbyOf(t, primary, p, []string{"s1", "s2"}[i], ""))
	}
	first := scene.Puller(t, primary, all)
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	s.Begin(t, "on").Released(t)
	first.Terminate(t)
	if scene.Puller(t, primary, all) == first {
		t.Fatal("nobody took over")
	}
	s.Begin(t, "on").Released(t)
	if err := os.RemoveAll(filepath.Join(first.DataDir, "wal")); err != nil {
		t.Fatal(err)
	}
	first.Start(t)
	pgtest.WaitCaughtUp(t, primary, standbys[slices.Index(all, first)])
	if scene.Puller(t, primary, all) == first {
		t.Error("it took over from the other one, which did nothing wrong")
	}
	if !strings.Contains(first.Log(), "looking whether the primary has WAL that this proxy had") {
		t.Error("it took the other one's WAL without a look")
	}
}
