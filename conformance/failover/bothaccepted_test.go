package failover

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// knownFile lets a standby in by what was known of its role while no primary can be asked.
const knownFile = "auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)'}\n" +
	"access: [host replication standby 127.0.0.1/32 scram-sha-256]\n"

// An operator gives lost WAL up on both proxies, by the steps of docs/failover.md: the standbys that have it are stopped
// first. Then he changes his mind, before either proxy is restarted: he starts the standbys again and promotes one, saying
// its end. The other one has the same WAL, is fed, and commits that wait for it are released, also after restarts.
func TestBothAcceptedAndKept(t *testing.T) {
	t.Parallel()
	primary := scramPrimary(t, pgtest.Usual(t)) // it is not asked who a standby is
	primary.Exec(t, "CREATE TABLE q (n int)")
	port := pgtest.FreePort(t)
	hosts := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=replproxy password=own dbname=postgres "+
		"sslmode=prefer connect_timeout=3", primary.Port, port)
	all := scene.ClusterOf(t, hosts, scene.RuleFile("ANY 1 (s1, s2)")+knownFile, "a", "b")
	a, b := all[0], all[1]
	retry := pgtest.Settings("wal_retrieve_retry_interval = 200ms", "wal_keep_size = 1GB")
	standby := func(name string, of *pgtest.Proxy, o ...pgtest.Option) *pgtest.Server {
		conninfo := of.Conninfo("user=standby", "password=secret", "application_name="+name)
		return primary.Install.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: conninfo},
			append(o, pgtest.Name(name), retry)...)
	}
	s1, s2 := standby("s1", a, pgtest.Port(port)), standby("s2", b)
	standbys := []*pgtest.Server{s1, s2}
	scene.WaitSatisfiable(t, all...)
	primary.Stop(t, pgtest.Immediate)
	revert := primary.Snapshot(t)
	primary.Start(t)
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 1000)")
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
	}
	for _, p := range all {
		flushed(t, p, primary.CurrentLSN(t))
	}
	primary.Stop(t, pgtest.Immediate)
	revert(t)
	primary.Start(t)
	for _, p := range all {
		waitLack(t, p)
	}
	for _, s := range standbys { // step 1
		s.Stop(t, pgtest.Fast)
	}
	for _, p := range all { // step 2
		p.Program(t, "accept-timeline", "1", "--data-dir", p.DataDir)
	}
	for _, p := range all {
		scene.Logged(t, p.Name, p.Log, "WAL is given up that this proxy's own store has: restart the proxy")
	}
	primary.Stop(t, pgtest.Fast)
	for i, s := range standbys {
		s.Start(t)
		scene.Logged(t, all[i].Name, all[i].Log, "a standby has WAL that was given up")
	}
	for _, p := range all {
		waitWarned(t, p, "promote one that has it, with --end NAME=LSN")
	}
	page := scene.NewRecipe(t, primary.Install)
	page.Proxies = all
	page.SSH(t)
	leave, end := page.Begin(t, "leave.sh", nil, s1.Conninfo())
	if err := leave.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, end)
	}
	s2.Stop(t, pgtest.Fast) // it comes back once both proxies follow
	promote, said := page.Begin(t, "promote.sh", nil, "1", "s1", s1.Conninfo(), "--end", "s1="+strings.TrimSpace(end.String()))
	pgtest.WaitFor(t, time.Minute, "s1 to be proven", func() (bool, error) {
		return strings.Contains(said.String(), "s1: proven"), nil
	})
	b.Signal(syscall.SIGSTOP) // it hears that a keeps that WAL before it follows s1 itself
	scene.Logged(t, a.Name, a.Log, "WAL that was given up is kept")
	b.Signal(syscall.SIGCONT)
	for _, p := range all {
		scene.Logged(t, p.Name, p.Log, "WAL that was given up is kept")
	}
	if err := promote.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	s2.Start(t)
	row := 1000
	for _, restarted := range append([]*pgtest.Proxy{nil}, all...) {
		if restarted != nil {
			restarted.Restart(t)
		}
		scene.WaitSatisfiable(t, all...)
		row++
		s1.Exec(t, fmt.Sprintf("INSERT INTO q VALUES (%d)", row))
		pgtest.WaitCaughtUp(t, s1, s2)
		pgtest.EqualData(t, s1, s2)
		for _, p := range all {
			flushed(t, p, s1.CurrentLSN(t))
			st := scene.Status(t, p)
			if w := strings.Join(st.Warnings, "\n"); len(st.GivenUp) > 0 || strings.Contains(w, "given up") {
				t.Errorf("%s: %+v, %q", p.Name, st.GivenUp, w)
			}
		}
	}
}
