package slots

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// gateStory is a primary under a bulk load, a subscriber with failover = true, and a voter behind a proxy.
type gateStory struct {
	*scene.Site
	candidate, subscriber *pgtest.Server
	next                  int // id
}

// killings counts the kills of the primary in an ordinary run; REPLPROXY_SOAK tells stories for that long.
const killings = 3

// TestRuleGateStories: amid a bulk load the primary is killed and restarted again and again, or the proxy, which has
// the rule gate. At last the voter is promoted as it is. No row is doubled at the subscriber, and none is missing
// (ruling R45).
func TestRuleGateStories(t *testing.T) {
	t.Parallel()
	seed, until := scene.FirstSeed(t), time.Now().Add(scene.SoakTime(t))
	stories, kills, proxies := 0, 0, 0
	defer func() {
		t.Logf("soak: %d stories, the primary killed %d times, the proxy %d times amid a load", stories, kills, proxies)
	}()
	for told := 0; told == 0 || time.Now().Before(until); told++ {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(told)), func(t *testing.T) {
			stories++
			rnd := rand.New(rand.NewPCG(seed+uint64(told), 0))
			g := newGateStory(t, pgtest.Need(t, 17+told%2), "slots: {mirror: presence, rule_gate: gate}\n")
			for range killings {
				stop := g.load(t)
				g.waitRows(t, rnd.IntN(20_000))
				if rnd.IntN(3) == 0 {
					proxies++
					g.Proxy.Kill9(t)
					g.waitRows(t, 1) // commits do not wait for the proxy here
					stop()
					g.Proxy.Start(t)
				} else {
					kills++
					g.Primary.Kill9(t)
					stop()
					g.Primary.Start(t)
				}
				g.agree(t, g.Primary)
			}
			kills++
			g.promote(t)
			if ahead := g.ahead(t); ahead != "0" {
				t.Errorf("the subscriber has %s rows that the new primary lacks", ahead)
			}
			g.Primary = g.candidate
			g.insert(t, 10)
			// The promoted server has left the rule, so nobody satisfies it and the subscriber waits.
			g.Proxy.Replace(t, "ANY 1 (candidate)", "")
			g.Proxy.Signal(syscall.SIGHUP)
			g.agree(t, g.Primary)
		})
	}
}

// TestWithoutRuleGate: without the setting the same promotion leaves rows at the subscriber that nobody else has.
func TestWithoutRuleGate(t *testing.T) {
	t.Parallel()
	g := newGateStory(t, pgtest.Need(t, 17), "slots: {mirror: presence}\n", "synchronized_standby_slots = ''")
	g.promote(t)
	if ahead := g.ahead(t); ahead == "0" {
		t.Error("the subscriber has nothing that the new primary lacks: this story shows nothing")
	}
}

func newGateStory(t *testing.T, in *pgtest.Install, slots string, more ...string) *gateStory {
	t.Helper()
	settings := pgtest.Settings(append([]string{"wal_level = logical", "wal_keep_size = 1GB", "hot_standby_feedback = on",
		"wal_receiver_status_interval = 1s", "wal_retrieve_retry_interval = 100ms", "synchronized_standby_slots = 'gate'"},
		more...)...)
	primary := in.Primary(t, settings)
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("candidate"),
		pgtest.Settings("sync_replication_slots = on", "cluster_name = 'candidate'"))
	g := &gateStory{candidate: candidate, Site: &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t,
		pgtest.ProxyOptions{
			Upstream: scene.Hosts(primary, candidate),
			Config: scene.RuleFile("ANY 1 (candidate)") + "feedback: {settle: 1s}\nupstream: {connect_wait: 1min}\n" +
				slots,
		})}}
	g.CreateSlot(t, "candidate")
	candidate.Set(t, "primary_slot_name = 'candidate'", "primary_conninfo = '"+g.Proxy.Conninfo("dbname=postgres")+"'")
	candidate.Reload()
	const table = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())"
	primary.Exec(t, table+"; CREATE PUBLICATION p FOR TABLE t")
	g.subscriber = in.Primary(t, pgtest.Name("subscriber"), pgtest.Settings("wal_retrieve_retry_interval = 100ms"))
	g.subscriber.Exec(t, table)
	g.subscriber.Exec(t, fmt.Sprintf("CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION p WITH (failover = true)",
		g.Proxy.Conninfo("dbname=postgres")))
	added := time.Time{}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the subscription's slot on the standby", func() (bool, error) {
		if time.Since(added) > time.Second { // the slot has to move before it is taken over for good
			added = time.Now()
			g.insert(t, 1)
		}
		rows := candidate.SQL(t, "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'sub'")
		return len(rows) == 1 && rows[0][0] == "t", nil
	})
	g.agree(t, primary)
	return g
}

func (g *gateStory) insert(t *testing.T, n int) {
	t.Helper()
	g.Primary.Exec(t, g.rows(n))
}

// rows is an INSERT of n more rows.
func (g *gateStory) rows(n int) string {
	g.next += n
	return fmt.Sprintf("INSERT INTO t SELECT generate_series(%d, %d)", g.next-n+1, g.next)
}

// load inserts, few rows and many by turns, until stop or the primary ends it.
func (g *gateStory) load(t *testing.T) (stop func()) {
	t.Helper()
	conn := g.Primary.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			n := 5
			if i%4 == 3 {
				n = 20_000
			}
			if _, err := pgtest.QueryConn(context.WithoutCancel(ctx), conn, g.rows(n)); err != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// waitRows waits for n more rows at the primary, which may be within a transaction.
func (g *gateStory) waitRows(t *testing.T, n int) {
	t.Helper()
	sql := "SELECT pg_current_wal_insert_lsn() - '0/0'"
	at := func() int { x, _ := strconv.Atoi(g.Primary.Scalar(t, sql)); return x }
	const row = 100 // bytes of WAL, more or less
	before := at()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the load", func() (bool, error) { return at() >= before+n*row, nil })
}

// agree waits until the subscriber has what a server has, and compares.
func (g *gateStory) agree(t *testing.T, with *pgtest.Server) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the subscriber to have what "+with.Name+" has", func() (bool, error) {
		const count = "SELECT count(*) FROM t"
		return g.subscriber.Scalar(t, count) == with.Scalar(t, count), nil
	})
	pgtest.EqualTable(t, with, g.subscriber, "t")
}

// promote leaves the voter behind, lets the primary write, and kills it; the voter is promoted as it is then.
func (g *gateStory) promote(t *testing.T) {
	t.Helper()
	g.agree(t, g.Primary)
	pgtest.WaitCaughtUp(t, g.Primary, g.candidate)
	g.candidate.Kill9(t)
	g.insert(t, 50)
	end := g.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the logical walsender to have come to it", func() (bool, error) {
		rows := g.Primary.SQL(t, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation' UNION ALL "+
			"SELECT 1 FROM pg_stat_replication WHERE application_name = 'sub' AND flush_lsn >= '"+end.String()+"'")
		return len(rows) > 0, nil
	})
	g.Primary.Kill9(t)
	g.candidate.Set(t, "primary_conninfo = ''") // or the proxy gives it the rest
	g.candidate.Start(t)
	g.candidate.Promote(t)
}

// ahead counts the rows of the subscriber that the voter lacks. What the subscriber gets from the new primary the voter
// has.
func (g *gateStory) ahead(t *testing.T) string {
	t.Helper()
	most := g.candidate.Scalar(t, "SELECT coalesce(max(id), 0) FROM t")
	return g.subscriber.Scalar(t, "SELECT count(*) FROM t WHERE id > "+most)
}
