package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The primary dies with all proxies, and a standby that lacks acknowledged commits is promoted by mistake. Proxy c, and
// a standby behind it, lack them as well. Whichever proxy is back first, and second, and third: a and b, which know of
// the commits, do not follow, and c does not either. Alone it waits, however long, until one of them has spoken. No commit
// of the wrong primary is acknowledged.
func TestPromotedByMistakeWhileProxiesReturn(t *testing.T) {
	for _, order := range []string{"abc", "acb", "bac", "bca", "cab", "cba"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			promotedByMistake(t, order)
		})
	}
}

// alone is in the last error of a proxy that has waited for others as long as one takes to be heard, in vain.
const alone = "and none was heard since the start"

// mistake is a primary with three standbys, each behind a proxy of one rule: s1 behind a, wrong, which is no voter,
// behind b, and s3 behind c.
type mistake struct {
	primary, s1, wrong, s3 *pgtest.Server
	all                    []*pgtest.Proxy
}

// newMistake starts them. The primary waits for the rule, and has a row.
func newMistake(t *testing.T) *mistake {
	t.Helper()
	in := pgtest.Need(t, 15)
	const waitsFor = "synchronous_standby_names = 'ANY 1 (a, b, c)'"
	settings := pgtest.Settings("wal_keep_size = 1GB", "wal_retrieve_retry_interval = 200ms")
	m := &mistake{primary: in.Primary(t, settings)}
	m.primary.Exec(t, "CREATE TABLE q (n int)")
	standby := func(name string) *pgtest.Server {
		return in.Standby(t, pgtest.StandbyOptions{From: m.primary}, settings, pgtest.Name(name))
	}
	m.s1, m.wrong, m.s3 = standby("s1"), standby("wrong"), standby("s3")
	m.all = scene.ClusterOf(t, scene.Hosts(m.primary, m.wrong), scene.RuleFile("ANY 1 (s1, s3)"), "a", "b", "c")
	for i, s := range []*pgtest.Server{m.s1, m.wrong, m.s3} {
		follow(t, s, m.all[i], waitsFor)
	}
	scene.WaitSatisfiable(t, m.all...)
	m.primary.Set(t, waitsFor)
	m.primary.Reload()
	m.primary.Exec(t, "INSERT INTO q VALUES (1)")
	return m
}

func promotedByMistake(t *testing.T, order string) {
	m := newMistake(t)
	primary, s1, wrong, s3, all := m.primary, m.s1, m.wrong, m.s3, m.all
	pgtest.WaitCaughtUp(t, primary, s3)
	all[2].Kill9(t) // c, and s3 behind it
	pgtest.WaitCaughtUp(t, primary, wrong)
	wrong.Stop(t, pgtest.Fast)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(2, 1000)") // acknowledged
	acked := primary.CurrentLSN(t)
	pgtest.WaitCaughtUp(t, primary, s1)
	for _, p := range all[:2] {
		flushed(t, p, acked)
	}
	primary.Kill9(t)
	all[0].Kill9(t)
	all[1].Kill9(t)
	wrong.Start(t)
	wrong.Promote(t)
	for _, name := range order {
		p := all[name-'a']
		p.StartNoWait(t)
		pgtest.WaitFor(t, time.Minute, p.Name+" to have looked at the wrong primary", func() (bool, error) {
			_, body, err := p.Get(t.Context(), "/status")
			return err == nil && (strings.Contains(string(body), `"lack":`) ||
				strings.Contains(string(body), `"state": "streaming"`) || strings.Contains(string(body), alone)), nil
		})
	}
	for _, p := range all[:2] {
		if l := waitLack(t, p).Upstream.Lack; l.To == lsn.Invalid {
			t.Errorf("%s: %+v", p.Name, l)
		}
	}
	if l := waitLack(t, all[2]).Upstream.Lack; l.To == lsn.Invalid {
		t.Errorf("c: %+v", l)
	}
	if releases(t, wrong, "INSERT INTO q VALUES (-1)", 3*time.Second) {
		t.Error("a commit of the wrong primary is acknowledged")
	}
}
