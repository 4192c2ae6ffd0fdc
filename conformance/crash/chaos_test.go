package crash

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// chaosTime is the length of an ordinary run; REPLPROXY_SOAK prolongs it.
const chaosTime = time.Minute

// chaos is a primary, a proxy, a second one behind it, and standbys that wander between the two.
//
//	primary ──► near ──► far
//	              └──┬────┘
//	           one, two, three
type chaos struct {
	*scene.Site
	rng      *rand.Rand
	far      *pgtest.Proxy
	standbys []*wanderer
	ledger   *scene.Ledger
	faults   map[string]int
}

// wanderer is a standby that changes its proxy, its name and its slot.
type wanderer struct {
	*pgtest.Server
	name int // of how many it has had
}

// Proxies, primary and standbys are killed, restarted and paused in random order under load, while
// standbys change their proxy, their application_name and their slot. Whatever was acknowledged, to
// somebody who waits for the proxy or not, is there in the end, and all standbys equal the primary.
func TestChaos(t *testing.T) {
	t.Parallel()
	c := newChaos(t)
	began, rounds := time.Now(), 0
	for time.Since(began) < max(chaosTime, scene.SoakTime(t)) {
		rounds++
		c.round(t, rounds)
		if rounds%20 == 0 {
			c.caughtUp(t)
		}
	}
	acked := c.ledger.Stop()
	c.caughtUp(t)
	c.ledger.Verify(t, c.Primary)
	for _, w := range c.standbys {
		pgtest.EqualData(t, c.Primary, w.Server)
	}
	pgtest.WaitStreaming(t, c.Primary, 1)
	c.VerifySegments(t, c.Proxy)
	c.VerifySegments(t, c.far)
	t.Logf("soak: %d rounds, %s, %d rows acknowledged, WAL up to %v", rounds, scene.Counts(c.faults), acked, c.Primary.CurrentLSN(t))
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{rng: scene.Random(t), faults: map[string]int{}}
	in := pgtest.Any(t, c.rng.IntN)
	t.Logf("PostgreSQL %s", in.Version)
	c.Site = scene.NewSite(t, in, pgtest.Settings("wal_keep_size = 64GB", "checkpoint_timeout = 30s"))
	c.far = pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "far", Upstream: c.Proxy.Conninfo()})
	c.Primary.Set(t, "synchronous_standby_names = 'proxy'")
	c.Primary.Reload()
	for _, name := range []string{"one", "two", "three"} {
		scene.Command(t, c.Proxy, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
		scene.Command(t, c.far, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
		s := c.Standby(t, name, name, pgtest.Settings("hot_standby_feedback = on", "checkpoint_timeout = 30s"))
		c.standbys = append(c.standbys, &wanderer{Server: s})
	}
	c.ledger = scene.StartLedger(t, c.Primary, map[string]string{
		"waits": c.Primary.Conninfo("options=-csynchronous_commit=on"),
		"hasty": c.Primary.Conninfo("options=-csynchronous_commit=local"),
		"guest": c.Proxy.Conninfo("options=-csynchronous_commit=remote_write"),
	})
	return c
}

// chance is true once in n times.
func (c *chaos) chance(n int) bool { return c.rng.IntN(n) == 0 }

func (c *chaos) pause(atMost int) {
	<-time.After(time.Duration(c.rng.IntN(atMost)) * time.Millisecond)
}

// fault is something that befalls a part; up ends it and does not wait for the part to work again.
type fault struct {
	name     string
	down, up func()
}

// round lets faults befall some of the parts, in random order, and ends them in another.
func (c *chaos) round(t *testing.T, number int) {
	t.Helper()
	parts := []func() fault{
		func() fault { return c.serverFault(t, c.Primary, func() { c.Primary.StartNoWait(t) }) },
		func() fault { return c.proxyFault(t, c.Proxy) },
		func() fault { return c.proxyFault(t, c.far) },
	}
	for _, w := range c.standbys {
		parts = append(parts, func() fault { return c.serverFault(t, w.Server, func() { c.wander(t, w); w.StartNoWait(t) }) })
	}
	c.rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	var all []fault
	var names []string
	for _, part := range parts[:1+c.rng.IntN(3)] {
		f := part()
		all, names = append(all, f), append(names, f.name)
		c.faults[f.name[strings.IndexByte(f.name, ' ')+1:]]++
	}
	t.Logf("%v round %d: %s", time.Now().UTC().Format(time.TimeOnly), number, strings.Join(names, ", "))
	for _, f := range all {
		f.down()
		c.pause(200)
	}
	if c.Primary.Running() && c.chance(4) {
		c.Primary.Exec(t, "SET statement_timeout = '10s'; SELECT pg_switch_wal()")
	}
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		f.up()
		c.pause(200)
	}
	c.up(t)
	if c.chance(3) {
		w := c.standbys[c.rng.IntN(len(c.standbys))]
		c.wander(t, w)
		w.Reload()
	}
}

// up waits until every part works again and rows are written.
func (c *chaos) up(t *testing.T) {
	t.Helper()
	c.Primary.WaitReady(t)
	c.Proxy.WaitReady(t)
	c.far.WaitReady(t)
	for _, w := range c.standbys {
		w.WaitReady(t)
	}
	c.ledger.WaitProgress(t, 3)
}

func (c *chaos) caughtUp(t *testing.T) {
	t.Helper()
	for _, w := range c.standbys {
		pgtest.WaitCaughtUp(t, c.Primary, w.Server)
	}
}

func (c *chaos) serverFault(t *testing.T, s *pgtest.Server, up func()) fault {
	t.Helper()
	f := fault{up: up}
	switch c.rng.IntN(5) {
	case 0:
		f.name, f.down = "fast", func() { s.Stop(t, pgtest.Fast) }
	case 1:
		f.name, f.down = "immediate", func() { s.Stop(t, pgtest.Immediate) }
	default:
		f.name, f.down = "kill9", func() { s.Kill9(t) }
	}
	f.name = s.Name + " " + f.name
	return f
}

func (c *chaos) proxyFault(t *testing.T, p *pgtest.Proxy) fault {
	t.Helper()
	f := fault{up: func() { p.StartNoWait(t) }}
	switch c.rng.IntN(8) {
	case 0:
		f.name, f.down = "SIGTERM", func() { p.Terminate(t) }
	case 1, 2:
		f.name = "SIGSTOP"
		var paused sync.WaitGroup
		length := time.Duration(c.rng.IntN(2000)) * time.Millisecond
		f.down = func() {
			p.Signal(syscall.SIGSTOP)
			paused.Go(func() { <-time.After(length); p.Signal(syscall.SIGCONT) })
		}
		f.up = paused.Wait
	default:
		f.name, f.down = "kill9", func() { p.Kill9(t) }
	}
	f.name = p.Name + " " + f.name
	return f
}

// wander gives a standby another upstream, name and slot; they hold from its next start or reload on.
func (c *chaos) wander(t *testing.T, w *wanderer) {
	t.Helper()
	proxy, slot := c.Proxy, ""
	if c.chance(3) {
		proxy = c.far
	}
	if c.chance(2) {
		slot = w.Name
	}
	w.name++
	w.Set(t, fmt.Sprintf("primary_conninfo = '%s'", proxy.Conninfo(fmt.Sprintf("application_name=%s_%d", w.Name, w.name))),
		fmt.Sprintf("primary_slot_name = '%s'", slot))
}
