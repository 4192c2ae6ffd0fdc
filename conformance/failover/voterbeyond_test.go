package failover

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// releases reports whether a commit returns within patience.
func releases(t *testing.T, primary *pgtest.Server, sql string, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := pgtest.Query(ctx, primary.Conninfo(), sql)
	return err == nil
}

// waitRefused waits until the log of a standby has the proxy's refusal n times.
func waitRefused(t *testing.T, s *pgtest.Server, n int) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, s.Name+" to be refused", func() (bool, error) {
		return strings.Count(s.Log(), "which was given up") >= n, nil
	})
}

// A primary that has lost WAL is accepted. The voter that has the lost WAL does not count, whichever proxy it comes to
// and however often the proxies are restarted. It gets nothing: its next records would fit what the primary writes
// now. Made anew it counts.
func TestVoterBeyondAcceptedLoss(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (s1)"), "a", "b")
	a, b := all[0], all[1]
	s1 := scene.StandbyOf(t, primary, a, "s1", "", pgtest.Settings("wal_retrieve_retry_interval = 200ms"))
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q VALUES (1)")
	pgtest.WaitCaughtUp(t, primary, s1)
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	scene.WaitSatisfiable(t, all...)
	for n := range 20 {
		primary.Exec(t, "INSERT INTO q VALUES ("+string(rune('0'+n%10))+")")
	}
	pgtest.WaitCaughtUp(t, primary, s1)
	lost := primary.CurrentLSN(t)
	for _, p := range all { // a commit waits for one of them only
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to have it all", func() (bool, error) {
			return scene.Status(t, p).Store.Flushed >= lost, nil
		})
	}
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	for _, p := range all {
		waitLack(t, p)
		p.Program(t, "accept-timeline", "1", "--data-dir", p.DataDir)
		scene.Logged(t, p.Name, p.Log, "WAL is given up that this proxy's own store has: restart the proxy")
		p.Restart(t)
	}
	waitRefused(t, s1, 1)
	if releases(t, primary, "INSERT INTO q VALUES (200)", 3*time.Second) {
		t.Error("a commit returned by the vote of a standby that has other WAL")
	}
	for _, p := range all { // they know it still, also where it was not attached
		p.Restart(t)
	}
	s1.Set(t, "primary_conninfo = '"+b.Conninfo("application_name=s1")+"'")
	s1.Reload()
	before := strings.Count(s1.Log(), "which was given up")
	waitRefused(t, s1, before+1)
	if releases(t, primary, "INSERT INTO q VALUES (201)", 3*time.Second) {
		t.Error("a commit returned by the vote of a standby that has other WAL, on another proxy")
	}
	for _, p := range all {
		st := scene.Status(t, p)
		if len(st.GivenUp) != 1 || strings.Join(st.GivenUp[0].Standbys, " ") != "s1" || standing(st, "s1") !=
			"it has WAL that was given up: make it anew" || !strings.Contains(strings.Join(st.Warnings, "\n"),
			"standby s1 may have WAL from "+st.GivenUp[0].From.String()) {
			t.Errorf("%s: %+v, %+v, %q", p.Name, st.GivenUp, st.Quorum.Voters, st.Warnings)
		}
	}
	if rows := s1.Scalar(t, "SELECT count(*) FROM q WHERE n >= 200"); rows != "0" {
		t.Errorf("the standby has %s rows of another history", rows)
	}
	s1.Stop(t, pgtest.Fast)
	anew := scene.StandbyOf(t, primary, b, "s1", "")
	scene.WaitSatisfiable(t, all...)
	if !releases(t, primary, "INSERT INTO q VALUES (202)", time.Minute) {
		t.Error("the standby is made anew, and does not count")
	}
	pgtest.WaitCaughtUp(t, primary, anew)
	pgtest.EqualData(t, primary, anew)
	for _, p := range all {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to know", func() (bool, error) {
			st := scene.Status(t, p)
			return len(st.GivenUp) == 1 && len(st.GivenUp[0].Standbys) == 0 && standing(st, "s1") == "counts", nil
		})
	}
}

// The primary was set back while the proxies were stopped. Before a proxy asked it for its position, it has written on
// beyond the end of a standby within the lost WAL. The standby has other WAL, and none of its votes counts. One that
// ended before the histories part goes on.
func TestVoterWithinLossBelowThePrimary(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (before, within)"), "a", "b")
	retry := pgtest.Settings("wal_retrieve_retry_interval = 200ms")
	before := scene.StandbyOf(t, primary, all[0], "before", "", retry)
	within := scene.StandbyOf(t, primary, all[0], "within", "", retry)
	primary.Exec(t, "INSERT INTO q VALUES (1)")
	pgtest.WaitCaughtUp(t, primary, before)
	pgtest.WaitCaughtUp(t, primary, within)
	before.Stop(t, pgtest.Fast)
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q VALUES (100)")
	pgtest.WaitCaughtUp(t, primary, within)
	at := primary.CurrentLSN(t)
	within.Stop(t, pgtest.Fast)
	primary.Exec(t, "INSERT INTO q SELECT 101 FROM generate_series(1, 20000)")
	lost := primary.CurrentLSN(t)
	for _, p := range all {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, p.Name+" to have it all", func() (bool, error) {
			return scene.Status(t, p).Store.Flushed >= lost, nil
		})
		p.Terminate(t)
	}
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	for primary.CurrentLSN(t) <= at+1<<15 {
		primary.Exec(t, "INSERT INTO q SELECT 2 FROM generate_series(1, 100)")
	}
	for _, p := range all {
		p.StartNoWait(t)
	}
	for _, p := range all {
		if l := waitLack(t, p).Upstream.Lack; !l.Lost || l.From == lsn.Invalid || l.From >= at || l.To < lost {
			t.Errorf("%s: %+v, the standby within the loss ended at %s, and %s was lost", p.Name, l, at, lost)
		}
		p.Program(t, "accept-timeline", "1", "--data-dir", p.DataDir)
		scene.Logged(t, p.Name, p.Log, "WAL is given up that this proxy's own store has: restart the proxy")
		scene.Warned(t, p, "the loss is accepted: restart this proxy")
		p.Restart(t)
	}
	within.Start(t)
	waitRefused(t, within, 1)
	for _, p := range all {
		if at := standing(scene.Status(t, p), "within"); at == "counts" {
			t.Errorf("%s: %s", p.Name, at)
		}
	}
	before.Start(t)
	primary.Exec(t, "INSERT INTO q VALUES (3)")
	pgtest.WaitCaughtUp(t, primary, before)
	pgtest.EqualData(t, primary, before)
}

// A standby is made anew, by pg_basebackup through the proxy, while the primary is still at positions that it had lost
// once. It can't be told from an old one, so it waits for the operator's word, and keeps it over a restart.
func TestMadeAnewAmidTheLoss(t *testing.T) {
	t.Parallel()
	c := newLossy(t, func(p *pgtest.Server) {
		for range 4 {
			p.Exec(t, "SELECT pg_switch_wal()")
			p.Exec(t, "INSERT INTO t VALUES (3)")
		}
	}, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)")})
	c.revert(t)
	c.Primary.Start(t)
	c.refused(t)
	c.s1.Stop(t, pgtest.Fast)
	c.Proxy.Program(t, "accept-timeline", "1", "--data-dir", c.Proxy.DataDir)
	scene.Logged(t, "the proxy", c.Proxy.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	c.Proxy.Restart(t)
	anew := c.In.Standby(t, pgtest.StandbyOptions{
		From: c.Primary, BaseBackup: c.Proxy.Conninfo(), PrimaryConninfo: c.Proxy.Conninfo("application_name=s1"),
	}, pgtest.Name("s1"), pgtest.Settings("wal_retrieve_retry_interval = 200ms"))
	waitRefused(t, anew, 1)
	if at := c.Primary.CurrentLSN(t); at >= c.lost {
		t.Fatalf("the primary is at %s already, it had lost WAL up to %s", at, c.lost)
	}
	c.Proxy.Program(t, "made-anew", "s1", "--data-dir", c.Proxy.DataDir)
	for range 2 {
		scene.WaitSatisfiable(t, c.Proxy)
		c.Primary.Exec(t, "INSERT INTO t VALUES (4)")
		pgtest.WaitCaughtUp(t, c.Primary, anew)
		c.Proxy.Restart(t)
	}
	pgtest.EqualData(t, c.Primary, anew)
}

// A proxy begins for the first time after a loss was given up, and hears no other member. A standby that has the lost
// WAL comes to it first, and gets nothing: not before the proxy has heard of the loss, and not afterwards.
func TestNewMemberHearsOfTheLoss(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	var all []*pgtest.Proxy
	var binds []string
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: name, Upstream: primary.Conninfo(), Config: "{}\n", Stopped: true,
		}))
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t)))
	}
	for i, cluster := range pgtest.Cluster(t, binds, all...) {
		all[i].Configure(t, "upstream: {connect_wait: 1s}\n"+cluster)
	}
	a, b, c := all[0], all[1], all[2]
	a.StartNoWait(t)
	b.StartNoWait(t)
	b.WaitReady(t)
	b.Terminate(t)
	a.Restart(t) // alone: that it has heard is remembered
	s1 := scene.StandbyOf(t, primary, a, "s1", "", pgtest.Settings("wal_retrieve_retry_interval = 200ms"))
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	a.WaitReady(t)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, s1)
	lost := primary.CurrentLSN(t)
	flushed(t, a, lost)
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	waitLack(t, a)
	a.Program(t, "accept-timeline", "1", "--data-dir", a.DataDir)
	scene.Logged(t, a.Name, a.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	s1.Set(t, "primary_conninfo = '"+c.Conninfo("application_name=s1")+"'")
	s1.Reload()
	a.Restart(t)
	a.Terminate(t)
	for primary.CurrentLSN(t) <= lost { // what is written now lies where the standby would go on
		primary.Exec(t, "INSERT INTO q SELECT -1 FROM generate_series(1, 100)")
	}
	c.StartNoWait(t)
	scene.Logged(t, s1.Name, s1.Log, "has yet to hear which WAL was given up, from a or b")
	a.StartNoWait(t)
	waitRefused(t, s1, 1)
	c.WaitReady(t)
	if got := s1.Scalar(t, "SELECT count(*) FROM q WHERE n = -1"); got != "0" {
		t.Errorf("the standby has %s rows of the other history", got)
	}
}

// A standby that was made anew amid the loss is named by the operator. While a member has not heard of the loss, or still
// has the lost WAL, that is refused: a standby that is asked no more could get lost WAL there.
func TestMadeAnewWaitsForMembers(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), "", "a", "b")
	a, b := all[0], all[1]
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	a.WaitReady(t)
	b.WaitReady(t)
	primary.Exec(t, "INSERT INTO q SELECT * FROM generate_series(1, 1000)")
	for _, p := range all {
		flushed(t, p, primary.CurrentLSN(t))
	}
	primary.Stop(t, pgtest.Immediate)
	b.Terminate(t)
	revert(t)
	primary.Start(t)
	giveUp := func(p *pgtest.Proxy) {
		t.Helper()
		waitLack(t, p)
		p.Program(t, "accept-timeline", "1", "--data-dir", p.DataDir)
		scene.Logged(t, p.Name, p.Log, "WAL is given up that this proxy's own store has: restart the proxy")
		p.Restart(t)
	}
	refused := func(why string) {
		t.Helper()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the refusal", func() (bool, error) {
			said := toldInVain(t, a, "/made-anew?name=s1")
			return strings.Contains(said, why) && strings.Contains(said, "--force"), nil
		})
	}
	giveUp(a)
	refused("it is not known that b has heard which WAL was given up: start it")
	b.StartNoWait(t)
	refused("b does not say that it has given that WAL up, too")
	giveUp(b)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a to hear that b has given it up", func() (bool, error) {
		return toldInVain(t, a, "/made-anew?name=s1") == "", nil
	})
	b.Terminate(t)
	a.Restart(t) // it has heard nothing of b since
	refused("b does not say that it has given that WAL up, too")
	a.Program(t, "made-anew", "--force", "s2", "--data-dir", a.DataDir)
}

// toldInVain tells a proxy something by its control socket and returns why it was refused; "": it was not.
func toldInVain(t *testing.T, p *pgtest.Proxy, path string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.DataDir, "control.sock"))
		},
	}}
	r, err := client.Post("http://proxy"+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode == http.StatusOK {
		return ""
	}
	return string(body)
}

// standing returns the reason why a voter counts or does not.
func standing(st admin.Status, name string) string {
	for _, v := range st.Quorum.Voters {
		if v.Name == name {
			return v.Standing
		}
	}
	return ""
}
