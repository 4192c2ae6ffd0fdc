package failover

import (
	"os/exec"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// mixed is a cluster of which a is of this release and b of the one before.
func mixed(t *testing.T, primary *pgtest.Server, config string) (a, b *pgtest.Proxy) {
	t.Helper()
	_, before := pgtest.PreviousRelease(t)
	all := scene.ClusterThat(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Binary: before},
		config+scene.AccessFile(), "a", "b")
	all[0].Become(t, pgtest.Binary(t))
	return all[0], all[1]
}

// TestDropsBesideTheReleaseBefore: a slot that is dropped at a member of either release while the other one is away is
// gone when that is back, and its name is free.
func TestDropsBesideTheReleaseBefore(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	a, b := mixed(t, primary, "")
	everywhere := func(name string, there bool) {
		t.Helper()
		for _, p := range []*pgtest.Proxy{a, b} {
			pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to know what became of "+name, func() (bool, error) {
				return (scene.ProxySlot(t, p, name).Name != "") == there, nil
			})
		}
	}
	for _, pair := range [][2]*pgtest.Proxy{{a, b}, {b, a}} {
		drops, away := pair[0], pair[1]
		for range 2 { // the second time by a higher generation
			scene.Command(t, away, "CREATE_REPLICATION_SLOT old PHYSICAL RESERVE_WAL")
			everywhere("old", true)
			away.Kill9(t)
			scene.Command(t, drops, "DROP_REPLICATION_SLOT old")
			away.Start(t)
			everywhere("old", false)
			pgtest.WaitFor(t, pgtest.ReplayTimeout, drops.Name+" to have it confirmed", func() (bool, error) {
				return len(scene.Status(t, drops).Cluster.DroppedUnconfirmed) == 0, nil
			})
		}
		everywhere("old", false)
	}
}

// TestBootBesideTheReleaseBefore: boot numbers were times. A member that comes to this release with an older copy of
// its data_dir counts again, by a number above its last one. It does so again when it goes back.
func TestBootBesideTheReleaseBefore(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	a, b := mixed(t, primary, scene.RuleFile("ANY 2 (s1, s2)"))
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: a}}
	scene.StandbyOf(t, primary, a, "s1", "")
	scene.StandbyOf(t, primary, b, "s2", "")
	primary.Set(t, "synchronous_standby_names = 'a'")
	primary.Reload()
	counts := func() {
		t.Helper()
		scene.WaitSatisfiable(t, a)
		s.Begin(t, "on").Released(t)
	}
	counts()
	files := func(command ...string) {
		t.Helper()
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	stop := func() {
		t.Helper()
		if code := b.Terminate(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	_, before := pgtest.PreviousRelease(t)
	stop()
	files("cp", "-a", b.DataDir+"/cluster", b.DataDir+".copy")
	b.Start(t)
	counts()
	b.Become(t, before) // once more, so that the copy is two starts old
	counts()
	stop()
	files("rm", "-r", b.DataDir+"/cluster")
	files("cp", "-a", b.DataDir+".copy", b.DataDir+"/cluster")
	b.Start(t)
	counts()
	for _, binary := range []string{pgtest.Binary(t), before, pgtest.Binary(t)} {
		b.Become(t, binary)
		counts()
	}
	stop()
	files("rm", "-r", b.DataDir+"/cluster")
	files("cp", "-a", b.DataDir+".copy", b.DataDir+"/cluster")
	b.Start(t) // as this release, with a copy of the one before
	counts()
	if a.Restart(t); scene.Status(t, b).Cluster == nil {
		t.Error("b is no member")
	}
	counts()
}
