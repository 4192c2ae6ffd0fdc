package slots

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A standby that is away keeps its slot's WAL when another one with its cluster_name is promoted (ruling R41). On one
// host, with Debian's '15/main' on both, nothing but primary_slot_name tells them apart.
func TestPromotionOfATwin(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "wal_retrieve_retry_interval = 100ms", "autovacuum = off")
	twin := pgtest.Settings("cluster_name = '15/main'")
	primary := in.Primary(t, settings)
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("promoted"), twin)
	s := &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(primary, candidate), Config: "wal: {keep_size: 16MB}\nfeedback: {settle: 1s}\nslots: {auto_create: true}\n",
	})}
	candidate.Set(t, "primary_slot_name = 'promoted'", "primary_conninfo = '"+s.Proxy.Conninfo()+"'")
	candidate.Reload()
	away := s.Standby(t, "away", "away", settings, twin)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both standbys' slots", func() (bool, error) {
		return scene.ProxySlot(t, s.Proxy, "promoted").Active && scene.ProxySlot(t, s.Proxy, "away").Active, nil
	})
	away.Stop(t, pgtest.Fast)
	primary.Stop(t, pgtest.Immediate)
	candidate.Promote(t)
	warns(t, s.Proxy, "slot away has not been used since timeline 2 began")
	if slot := scene.ProxySlot(t, s.Proxy, "away"); slot.Restart == 0 {
		t.Errorf("the slot of the one that is away: %+v", slot)
	}
	scene.Fill(t, candidate, 3)
	candidate.Exec(t, "CHECKPOINT")
	away.Start(t)
	pgtest.WaitCaughtUp(t, candidate, away)
}
