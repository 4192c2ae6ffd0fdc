package quorum

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// zombie is longer than a session that its standby has left may live: it is asked, and ended after three seconds.
const zombie = 5 * time.Second

// A standby streams from one proxy, while another one has its session from before, of which nobody has heard the end.
// Both have its name, and both have reported the commit. Together they are one vote: a rule that counts two is not
// satisfied by them, at no time.
func TestZombieIsOneVote(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 2 (s1, s2)"), "a", "b")
	s2 := scene.StandbyOf(t, primary, all[1], "s2", "")
	l := newLeaver(t, &scene.Site{In: in, Primary: primary, Proxy: all[1]}, all[0], "", "ANY 1 (a, b)")
	scene.WaitSatisfiable(t, all...)
	s2.Stop(t, pgtest.Fast)
	c := l.Begin(t, "on")
	pgtest.WaitFor(t, time.Minute, "s1 to report the commit to "+all[0].Name, func() (bool, error) {
		rows := scene.Status(t, all[0]).Standbys
		return len(rows) == 1 && flushOf(scene.StandbyRow(rows[0])) >= c.At, nil
	})
	l.s1.Set(t, "primary_conninfo = '"+all[1].Conninfo()+"'")
	l.way.Forget(0)
	l.s1.Reload() // which ends its walreceiver
	for since := time.Now(); time.Since(since) < zombie; {
		l.Held(t, c, flushOf)
	}
	l.Held(t, c, flushOf, "s1")
	s2.Start(t)
	c.Released(t)
}
