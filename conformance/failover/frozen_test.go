package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// frozen is the time in which a primary lets nobody in: more than any attempt to log in waits for.
const frozen = 20 * time.Second

// scramPrimary is a primary whose roles standby and gone prove themselves, and whose role replproxy is the proxy's.
func scramPrimary(t *testing.T, in *pgtest.Install) *pgtest.Server {
	t.Helper()
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"), pgtest.HBA(
		"host all postgres all trust", "host replication postgres all trust",
		"host all all all scram-sha-256", "host replication all all scram-sha-256"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE standby LOGIN REPLICATION PASSWORD 'secret'; "+
		"CREATE ROLE gone LOGIN REPLICATION PASSWORD 'secret'; CREATE ROLE replproxy LOGIN REPLICATION PASSWORD 'own' IN ROLE pg_monitor")
	primary.Exec(t, scene.AuthFunction(t))
	return primary
}

// scramFile verifies both roles, and asks for each anew at once.
const scramFile = "auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)', cache_ttl: 200ms}\n" +
	"access: [host replication standby 127.0.0.1/32 scram-sha-256, host replication gone 127.0.0.1/32 scram-sha-256]\n"

// forgotten is longer than the cache_ttl of scramFile: what was answered before is asked anew.
const forgotten = time.Second

// provenStandby is s1 behind a proxy, whose role proves itself.
func provenStandby(t *testing.T, from *pgtest.Server, of *pgtest.Proxy) *pgtest.Server {
	t.Helper()
	return from.Install.Standby(t, pgtest.StandbyOptions{From: from,
		PrimaryConninfo: of.Conninfo("user=standby", "password=secret", "sslmode=disable", "application_name=s1")}, pgtest.Name("s1"))
}

// logIn logs in at a proxy as a walsender, and returns why not.
func logIn(t *testing.T, p *pgtest.Proxy, role string) error {
	t.Helper()
	_, err := pgtest.Query(t.Context(), p.Conninfo("user="+role, "password=secret", "sslmode=disable", "replication=true",
		"connect_timeout=90"), "IDENTIFY_SYSTEM")
	return err
}

// freezePostmaster stops the postmaster alone, so that nobody is let in and all sessions go on, until the returned
// function is called, or the test ends.
func freezePostmaster(t *testing.T, server *pgtest.Server) (thaw func()) {
	t.Helper()
	pid := server.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(thaw)
	return thaw
}

// revoke takes LOGIN from the role gone, over a session that stands. The commit waits for the proxies, as any other.
func revoke(t *testing.T, session *pgconn.PgConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := pgtest.QueryConn(ctx, session, "ALTER ROLE gone NOLOGIN"); err != nil {
		t.Fatalf("a session of the frozen primary: %v", err)
	}
}

// TestFrozenPostmaster: a primary lets nobody in for twenty seconds, and its sessions go on. It is not down (ruling
// R33). A role that has lost LOGIN meanwhile is not let in by what was known of it. A server that lacks acknowledged WAL
// is not followed, although it answers as the primary. Commits go on all the time, and nothing is lost.
func TestFrozenPostmaster(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := scramPrimary(t, in)
	stale := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("stale"))
	pgtest.WaitCaughtUp(t, primary, stale)
	stale.Stop(t, pgtest.Fast)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: "upstream: {conninfo: '" + scene.Hosts(primary, stale) +
		" user=replproxy password=own sslmode=prefer connect_timeout=3'}\n" + scene.RuleFile("ANY 1 (s1)") + scramFile})
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: proxy}}
	s1 := provenStandby(t, primary, proxy)
	s.WaitSync(t)
	ledger := scene.StartLedger(t, primary, map[string]string{"a": primary.Conninfo(), "b": primary.Conninfo()})
	ledger.WaitProgress(t, 20)
	if err := logIn(t, proxy, "gone"); err != nil {
		t.Fatal(err)
	}
	known := time.Now()
	session := primary.Connect(t)

	thaw := freezePostmaster(t, primary)
	since := time.Now()
	revoke(t, session)
	pgtest.WaitFor(t, time.Minute, "the answer of before to be over", func() (bool, error) {
		return time.Since(known) > forgotten, nil
	})
	stale.Start(t) // it answers, and has not got the rows of the ledger
	stale.Promote(t)
	for time.Since(since) < frozen {
		if err := logIn(t, proxy, "gone"); err == nil {
			t.Error("a role without LOGIN was let in by what was known of it")
		}
		if u := scene.Status(t, proxy).Upstream; u.State != admin.Streaming || u.Higher != nil ||
			!strings.HasSuffix(u.Endpoint, fmt.Sprintf(":%d", primary.Port)) {
			t.Fatalf("the primary is left: %+v", u)
		}
		ledger.WaitProgress(t, 5)
	}
	thaw()
	pgtest.WaitFor(t, time.Minute, "the standby's role to be let in", func() (bool, error) { return logIn(t, proxy, "standby") == nil, nil })
	var refusal *pgconn.PgError
	if err := logIn(t, proxy, "gone"); !errors.As(err, &refusal) || refusal.Code != "28000" {
		t.Errorf("a role without LOGIN: %v", err)
	}
	ledger.WaitProgress(t, 20)
	ledger.Stop()
	ledger.Verify(t, primary)
	pgtest.WaitCaughtUp(t, primary, s1)
	ledger.Verify(t, s1)
	if st := scene.Status(t, proxy); st.Store.Timeline != 1 || st.Upstream.Lack != nil {
		t.Errorf("timeline %s, %+v", st.Store.Timeline, st.Upstream.Lack)
	}
}

// TestFrozenPostmasterOfACluster: the same for a member that streams from another one. Its own questions get no answer,
// and the member that streams from the primary hears it.
func TestFrozenPostmasterOfACluster(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := scramPrimary(t, in)
	all := scene.ClusterOf(t, primary.Conninfo("user=replproxy", "password=own", "sslmode=prefer", "connect_timeout=3"),
		scene.RuleFile("ANY 1 (s1)")+"upstream: {via: cluster}\n"+scramFile, "a", "b")
	other := all[0]
	if scene.Puller(t, primary, all) == other {
		other = all[1]
	}
	provenStandby(t, primary, other)
	if err := logIn(t, other, "gone"); err != nil {
		t.Fatal(err)
	}
	session := primary.Connect(t)

	thaw := freezePostmaster(t, primary)
	revoke(t, session)
	pgtest.WaitFor(t, time.Minute, "the other member to find no primary", func() (bool, error) {
		return strings.Contains(strings.Join(scene.Status(t, other).Warnings, "\n"), "the server of upstream.conninfo does not answer"), nil
	})
	for since := time.Now(); time.Since(since) < frozen/2; {
		if err := logIn(t, other, "gone"); err == nil {
			t.Fatal("a role without LOGIN was let in by what was known of it")
		}
	}
	thaw()
	pgtest.WaitFor(t, time.Minute, "the standby's role to be let in", func() (bool, error) { return logIn(t, other, "standby") == nil, nil })
	var refusal *pgconn.PgError
	if err := logIn(t, other, "gone"); !errors.As(err, &refusal) || refusal.Code != "28000" {
		t.Errorf("a role without LOGIN: %v", err)
	}
}
