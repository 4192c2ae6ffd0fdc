package slots

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Two proxies are cut off from each other, not from the primary, and each has a standby that wants slot x. One waits
// as long as the other's proxy is heard, then both are served. When the cut is mended one has the slot, both proxies
// say which, and the other standby gets it when that one leaves.
func TestSlotsInAPartition(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	network := pgtest.NewNetwork(t)
	hosts := map[string]*pgtest.Host{}
	for _, name := range []string{"primary", "a", "b", "s1", "s2"} {
		hosts[name] = network.Host(t, name)
	}
	primary := in.Primary(t, pgtest.SCRAM(scene.PartitionsPassword), pgtest.On(hosts["primary"]), pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE t (n int)")
	conninfo := func(host string, port int) string {
		return fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres password=%s sslmode=disable connect_timeout=5",
			hosts[host].Addr, port, scene.PartitionsPassword)
	}
	all := map[string]*pgtest.Proxy{}
	var proxies []*pgtest.Proxy
	for _, name := range []string{"a", "b"} {
		all[name] = pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: name, Upstream: conninfo("primary", primary.Port), Password: scene.PartitionsPassword, Config: "{}\n",
			Stopped: true, Host: hosts[name],
		})
		proxies = append(proxies, all[name])
	}
	binds := []string{hosts["a"].Addr + ":7946", hosts["b"].Addr + ":7946"}
	for i, config := range pgtest.Cluster(t, binds, proxies...) {
		proxies[i].Configure(t, "slots: {auto_create: true}\n"+config)
		proxies[i].StartNoWait(t)
	}
	for _, p := range proxies {
		p.WaitReady(t)
	}
	waitShared(t, proxies...)

	standby := func(name, of string) *pgtest.Server {
		so := pgtest.StandbyOptions{From: primary, PrimaryConninfo: conninfo(of, all[of].Port), SlotName: "x"}
		return in.Standby(t, so, pgtest.Name(name), pgtest.On(hosts[name]))
	}
	caughtUp := func(standbys ...*pgtest.Server) {
		t.Helper()
		primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
		for _, s := range standbys {
			pgtest.WaitCaughtUp(t, primary, s)
		}
	}
	active := func(proxy string) bool {
		slot := scene.ProxySlot(t, all[proxy], "x")
		return slot.Active && slot.Owner == proxy
	}
	s1 := standby("s1", "a")
	caughtUp(s1)
	s2 := standby("s2", "b")
	refused := func(s *pgtest.Server) int { return strings.Count(s.Log(), `replication slot "x" is active for PID`) }
	pgtest.WaitFor(t, time.Minute, "s2 to be refused", func() (bool, error) { return refused(s2) > 0, nil })
	if !active("a") || active("b") {
		t.Errorf("the slot is not a's: %+v, %+v", scene.ProxySlot(t, all["a"], "x"), scene.ProxySlot(t, all["b"], "x"))
	}

	hosts["a"].Cut(t, hosts["b"])
	hosts["b"].Cut(t, hosts["a"])
	pgtest.WaitFor(t, time.Minute, "b to go on without a", func() (bool, error) { return active("b"), nil })
	caughtUp(s1, s2) // whose WAL a standby gets is not what a cut can change
	if !active("a") {
		t.Error("a's standby has lost its slot, though a can't know")
	}

	before := refused(s1)
	hosts["a"].Mend(t, hosts["b"])
	hosts["b"].Mend(t, hosts["a"])
	pgtest.WaitFor(t, 2*time.Minute, "the slot to be b's at both", func() (bool, error) {
		here, there := scene.ProxySlot(t, all["a"], "x"), scene.ProxySlot(t, all["b"], "x")
		return here.Owner == "b" && there.Owner == "b" && here.ActivePID == there.ActivePID && here.ActivePID != 0, nil
	})
	pgtest.WaitFor(t, time.Minute, "s1 to be refused", func() (bool, error) { return refused(s1) > before, nil })
	s2.Stop(t, pgtest.Fast)
	caughtUp(s1)
	pgtest.WaitFor(t, time.Minute, "the slot to be a's at both", func() (bool, error) {
		return active("a") && scene.ProxySlot(t, all["b"], "x").Owner == "a", nil
	})
	pgtest.EqualData(t, primary, s1)
}
