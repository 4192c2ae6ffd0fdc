package slots

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// patient settles long after each step, so that nothing that a test sees is due to that.
const patient = "feedback: {settle: 5min}\n"

// TestHorizonOutlivesUs: the primary bears the horizon of a standby's slot at every moment, whatever becomes of the
// proxy, its stream and its rule, although the standby is away (ruling R44).
func TestHorizonOutlivesUs(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		rule := scene.RuleFile("ANY 1 (b)") + patient
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: rule})
		next := consume(t, s.Primary)
		s.CreateSlot(t, "b")
		standby := scene.Claim(t, s.Proxy.Conninfo(), "b", "b")
		xmin, catalog := next-5, next-9
		standby.Needs(t, xmin, catalog)
		borne(t, s.Primary, "proxy", xmin, catalog, "it appeared")
		saved(t, s.Proxy, "b", xmin)

		standby.Needs(t, xmin-2, catalog)
		xmin -= 2
		borne(t, s.Primary, "proxy", xmin, catalog, "xmin fell")
		saved(t, s.Proxy, "b", xmin)
		standby.Leave()

		kept := watchHorizon(t, s.Primary, xmin, catalog)
		s.Proxy.Kill9(t)
		borne(t, s.Primary, "proxy", xmin, catalog, "kill -9")
		s.Proxy.Start(t)
		streamBears(t, s.Primary, xmin)
		s.Proxy.Restart(t)
		streamBears(t, s.Primary, xmin)
		scene.Reload(t, s.Proxy, "upstream: {conninfo: \""+s.Primary.Conninfo()+"\"}\n"+patient)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to use the slot", func() (bool, error) {
			return s.Primary.Scalar(t, "SELECT active FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'") == "t", nil
		})
		borne(t, s.Primary, "proxy", xmin, catalog, "the rule was taken away")
		s.Proxy.Kill9(t)
		s.Proxy.Start(t)
		borne(t, s.Primary, "proxy", xmin, catalog, "kill -9 without a rule")
		scene.Reload(t, s.Proxy, rule+"upstream: {conninfo: \""+s.Primary.Conninfo()+"\"}\n")
		streamBears(t, s.Primary, xmin)
		borne(t, s.Primary, "proxy", xmin, catalog, "the rule was set")
		kept()

		s.Primary.Exec(t, "SELECT pg_drop_replication_slot('replproxy_proxy')")
		borne(t, s.Primary, "proxy", xmin, catalog, "somebody dropped the slot")
		s.Primary.Kill9(t)
		s.Primary.Start(t)
		borne(t, s.Primary, "proxy", xmin, catalog, "the primary crashed, and may have forgotten it")
	}, 14, 18)
}

// TestHorizonRises: a newer horizon is said before a clean stop, and one that nobody needs goes.
func TestHorizonRises(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{
		Config: scene.RuleFile("ANY 1 (b)") + "feedback: {settle: 100ms}\n",
	})
	next := consume(t, s.Primary)
	s.CreateSlot(t, "b")
	standby := scene.Claim(t, s.Proxy.Conninfo(), "b", "b")
	standby.Needs(t, next-9, 0)
	borne(t, s.Primary, "proxy", next-9, 0, "it appeared")
	standby.Needs(t, next-5, 0)
	saved(t, s.Proxy, "b", next-5)
	borne(t, s.Primary, "proxy", next-5, 0, "it rose for the first time")
	standby.Needs(t, next-3, 0)
	saved(t, s.Proxy, "b", next-3)
	if got := horizonOf(t, s.Primary, "proxy"); got != fmt.Sprintf("%d,", next-5) {
		t.Errorf("told within the minute: %s", got)
	}
	s.Proxy.Terminate(t)
	borne(t, s.Primary, "proxy", next-3, 0, "the clean stop")
}

// TestHorizonNeverTakesTheLastWalsender: commits and backups go first, and it is said.
func TestHorizonNeverTakesTheLastWalsender(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (b)") + patient},
		pgtest.Settings("max_wal_senders = 3"))
	next := consume(t, s.Primary)
	s.CreateSlot(t, "b")
	standby := scene.Claim(t, s.Proxy.Conninfo(), "b", "b")
	pgtest.WaitStreaming(t, s.Primary, 1) // what the log-ins used is free again
	other := scene.Claim(t, s.Primary.Conninfo(), "other", "")
	pgtest.WaitStreaming(t, s.Primary, 2)
	standby.Needs(t, next-9, 0)
	waitWarned(t, s.Proxy, "no walsender to spare")
	streamBears(t, s.Primary, next-9)
	other.Leave()
	borne(t, s.Primary, "proxy", next-9, 0, "one is free")
}

// TestHorizonOfAPuller: the proxy that streams bears it, one that does not any more lets go.
func TestHorizonOfAPuller(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	next := consume(t, primary)
	all := scene.ClusterOf(t, primary.Conninfo(),
		scene.RuleFile("ANY 1 (b)")+"feedback: {settle: 100ms}\nupstream: {via: cluster}\n", "pa", "pb")
	first := scene.Puller(t, primary, all)
	other := all[0]
	if other == first {
		other = all[1]
	}
	scene.Command(t, other, "CREATE_REPLICATION_SLOT b PHYSICAL RESERVE_WAL")
	standby := scene.Claim(t, other.Conninfo(), "b", "b")
	standby.Needs(t, next-5, next-9)
	borne(t, primary, first.Name, next-5, next-9, "it appeared at the other member")
	if got := horizonOf(t, primary, other.Name); got != "," && got != "no slot" {
		t.Errorf("who does not stream from the primary bears %s", got)
	}
	kept := watchHorizon(t, primary, next-5, next-9)
	first.Kill9(t)
	borne(t, primary, other.Name, next-5, next-9, "the puller died")
	first.Start(t)
	if scene.Puller(t, primary, all) != other {
		t.Fatal("the first one took over again")
	}
	borne(t, primary, first.Name, 0, 0, "another one pulls")
	borne(t, primary, other.Name, next-5, next-9, "it lets go")
	kept()
}

// TestHorizonOnANewPrimary: catalog_xmin is borne there at once, xmin was said to the old one (ruling R41).
func TestHorizonOnANewPrimary(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: scene.Hosts(c.Primary, c.Candidate), Config: scene.RuleFile("ANY 1 (b)") + patient,
	})
	next := consume(t, c.Primary)
	scene.Command(t, c.Proxy, "CREATE_REPLICATION_SLOT b PHYSICAL RESERVE_WAL")
	standby := scene.Claim(t, c.Proxy.Conninfo(), "b", "b")
	standby.Needs(t, next-5, next-9)
	borne(t, c.Primary, "proxy", next-5, next-9, "it appeared")
	standby.Leave()
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	c.Primary.Kill9(t)
	c.Candidate.Promote(t)
	borne(t, c.Candidate, "proxy", 0, next-9, "the failover")
}

// TestInsaneFeedbackKeepsTheOneBefore: a value that the primary would refuse changes nothing, with a slot and without,
// as on the primary itself.
func TestInsaneFeedbackKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Usual(t), pgtest.ProxyOptions{Config: "feedback: {settle: 100ms}\n"})
	next := consume(t, s.Primary)
	s.CreateSlot(t, "kept")
	direct := scene.Claim(t, s.Primary.Conninfo(), "direct", "")
	slotless, kept := scene.Claim(t, s.Proxy.Conninfo(), "slotless", ""), scene.Claim(t, s.Proxy.Conninfo(), "kept", "kept")
	for _, c := range []*scene.Claimant{direct, slotless, kept} {
		c.Needs(t, next-9, 0)
	}
	kept.Needs(t, next-7, next-8)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the next transaction to be known", func() (bool, error) {
		slotless.Needs(t, next-9, 0)
		return scene.Status(t, s.Proxy).Feedback.NextXID > 0, nil
	})
	borne(t, s.Primary, "proxy", next-9, next-8, "sane values")
	for _, c := range []*scene.Claimant{direct, slotless, kept} {
		c.Needs(t, 1<<32|(next-4), 0)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both to be named", func() (bool, error) {
		return len(scene.Status(t, s.Proxy).Feedback.LeftOut) == 2, nil
	})
	slotless.Leave()
	borne(t, s.Primary, "proxy", next-7, next-8, "the slot's is the one before")
	if got := s.Primary.Scalar(t, "SELECT backend_xmin FROM pg_stat_replication WHERE application_name = 'direct'"); got !=
		strconv.FormatUint(next-9, 10) {
		t.Errorf("direct: %s", got)
	}
	kept.Needs(t, next-2, 0)
	borne(t, s.Primary, "proxy", next-2, 0, "a sane one")
}

// consume uses some transactions up, and returns the next one.
func consume(t *testing.T, primary *pgtest.Server) uint64 {
	t.Helper()
	for range 20 {
		primary.Exec(t, "SELECT txid_current()")
	}
	primary.Exec(t, "CHECKPOINT") // these leave no WAL, without which a crash or a promotion would take them back
	next, err := strconv.ParseUint(primary.Scalar(t, "SELECT pg_snapshot_xmax(pg_current_snapshot())"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// horizonOf returns the horizon of a proxy's slot there, as "xmin,catalog_xmin".
func horizonOf(t *testing.T, primary *pgtest.Server, proxy string) string {
	t.Helper()
	rows := primary.SQL(t, "SELECT concat(xmin, ',', catalog_xmin) FROM pg_replication_slots WHERE slot_name = 'replproxy_"+
		proxy+"'")
	if len(rows) != 1 {
		return "no slot"
	}
	return rows[0][0]
}

func number(x uint64) string {
	if x == 0 {
		return ""
	}
	return strconv.FormatUint(x, 10)
}

// borne waits until the slot of a proxy bears exactly that.
func borne(t *testing.T, primary *pgtest.Server, proxy string, xmin, catalog uint64, after string) {
	t.Helper()
	want := number(xmin) + "," + number(catalog)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("slot of %s to bear %q: %s", proxy, want, after), func() (bool, error) {
		return horizonOf(t, primary, proxy) == want, nil
	})
}

// streamBears waits until a walsender without a slot bears xmin, beside which the slot bears the rest.
func streamBears(t *testing.T, primary *pgtest.Server, xmin uint64) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to bear xmin", func() (bool, error) {
		return primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND "+
			"application_name = 'proxy' AND backend_xmin = '"+number(xmin)+"'") == "1", nil
	})
}

// saved waits until the proxy's slot has it on disk (docs/slot-format.md): slots are saved every few seconds.
func saved(t *testing.T, proxy *pgtest.Proxy, slot string, xmin uint64) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the slot to be saved", func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(proxy.DataDir, "slots", slot)) // a file beside it may never take its place
		return err == nil && len(b) > 32 && binary.BigEndian.Uint64(b[24:]) == xmin, err
	})
}

// watchHorizon looks again and again whether a slot there bears at least that. The returned func ends it and complains
// of every moment at which none did.
func watchHorizon(t *testing.T, primary *pgtest.Server, xmin, catalog uint64) (kept func()) {
	t.Helper()
	conn := primary.Connect(t)
	sql := fmt.Sprintf("SELECT count(*) FILTER (WHERE xmin::text::bigint <= %d), count(*) FILTER (WHERE "+
		"catalog_xmin::text::bigint <= %d), string_agg(concat(slot_name, ' ', xmin, ' ', catalog_xmin), '; ') FROM "+
		"pg_replication_slots", xmin, catalog)
	ctx, stop := context.WithCancel(t.Context())
	type outcome struct {
		looks int
		gap   string
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil && o.gap == "" && o.err == nil; <-tick.C {
			var rows [][]string
			if rows, o.err = pgtest.QueryConn(context.WithoutCancel(ctx), conn, sql); o.err == nil {
				o.looks++
				if rows[0][0] == "0" || rows[0][1] == "0" {
					o.gap = rows[0][2]
				}
			}
		}
		done <- o
	}()
	return func() {
		t.Helper()
		stop()
		if o := <-done; o.gap != "" || o.err != nil || o.looks < 10 {
			t.Errorf("a horizon of xmin %d and catalog_xmin %d was not borne: %q (%d looks, %v)", xmin, catalog, o.gap, o.looks, o.err)
		}
	}
}
