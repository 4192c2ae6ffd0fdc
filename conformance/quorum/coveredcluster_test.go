package quorum

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestCoveredInACluster: the voter is behind one proxy, the standby that does not vote behind another, which gets all
// WAL as a member does. It is held at what the voter has, and after a start, until rules were compared, at nothing.
func TestCoveredInACluster(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("v")+
		"upstream: {via: cluster}\nstandbys: {\"*\": {send_when: covered}}\n", "a", "b")
	a, b := all[0], all[1]
	voter, report := scene.StandbyOf(t, primary, a, "v", ""), scene.StandbyOf(t, primary, b, "report_1", "")
	scene.WaitSatisfiable(t, all...)
	scene.WriteWAL(t, primary, 2)
	pgtest.WaitCaughtUp(t, primary, report)
	before := primary.CurrentLSN(t)
	site := func(p *pgtest.Proxy) *coveredSite {
		return &coveredSite{QuorumSite: scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: p}}}
	}
	resume := scene.Pause(t, voter)
	covered := site(a).row(t, "v", func(r admin.Standby) bool { return r.SendWhen == "" }).Flush
	scene.WriteWAL(t, primary, 3)
	end := site(b).received(t)
	site(a).received(t)
	site(b).heldBelow(t, end, covered)

	a.Kill9(t)
	b.Kill9(t)
	b.Start(t)
	site(b).received(t)
	r := site(b).row(t, "report_1", func(r admin.Standby) bool { return r.SendWhen == "covered" && r.HeldBytes > 0 })
	if r.Covered != lsn.Invalid || r.Sent > before {
		t.Errorf("before rules were compared: %+v", r)
	}
	a.Start(t)
	resume()
	pgtest.WaitCaughtUp(t, primary, report)
}
