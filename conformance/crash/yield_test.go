package crash

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestFullDiskSendsVotersAway: the only voter is attached to a member whose volume is full, so it gets nothing, while the
// other member goes on. It is sent there, which its conninfo names, and commits go on.
func TestFullDiskSendsVotersAway(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	v := in.NewVolume(t, "160m")
	all := scene.ClusterWith(t, scene.RuleFile("ANY 1 (s1)")+"wal: {keep_size: 1GB}\n", func(name string) pgtest.ProxyOptions {
		o := pgtest.ProxyOptions{Upstream: primary.Conninfo()}
		if name == "a" {
			o.DataDir = v.DataDir()
		}
		return o
	}, "a", "b")
	a, b := all[0], all[1]
	in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: fmt.Sprintf(
		"host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres", a.Port, b.Port)}, pgtest.Name("s1"))
	scene.WaitSatisfiable(t, all...)
	scene.Attached(t, a, "s1")
	pauseByFullDisk(t, &scene.Site{In: in, Primary: primary, Proxy: a}, v)
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: b}}
	s.Begin(t, "on").Released(t)
	scene.Attached(t, b, "s1")
	scene.Logged(t, "the proxy", a.Log, "sessions of voters are ended and refused")
	scene.Warned(t, a, "its voters are sent to b")
	v.Heal(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a to serve voters again", func() (bool, error) {
		return !scene.Status(t, a).Store.Paused, nil
	})
	s.Begin(t, "on").Released(t)
}
