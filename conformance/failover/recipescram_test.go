package failover

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// newAnewSite is a recipe site whose proxies verify by themselves. Standbys log in as a role that access names, the load
// as another one. s1 follows proxy_a, or proxy_b when that is gone; s2 and s3 follow proxy_c. So nobody has ever
// logged in at proxy_b as the standbys' role.
func newAnewSite(t *testing.T) *recipeSite {
	t.Helper()
	in := pgtest.Need(t, 15)
	const waitsFor = "synchronous_standby_names = 'ANY 1 (proxy_a, proxy_b, proxy_c)'"
	settings := pgtest.Settings("wal_keep_size = 1GB")
	s := &recipeSite{Recipe: scene.NewRecipe(t, in)}
	s.primary = in.Primary(t, settings, pgtest.HBA(
		"host all postgres all trust", "host replication postgres all trust",
		"host all all all scram-sha-256", "host replication all all scram-sha-256"))
	s.primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE replproxy LOGIN REPLICATION PASSWORD 'own' IN ROLE pg_monitor; "+
		"CREATE ROLE standby LOGIN REPLICATION PASSWORD 'secret'; CREATE ROLE teller LOGIN PASSWORD 'money'; "+
		"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO teller")
	s.primary.Exec(t, scene.AuthFunction(t))
	servers := []*pgtest.Server{s.primary}
	for _, name := range []string{"s1", "s2", "s3"} {
		s.standbys = append(s.standbys, in.Standby(t, pgtest.StandbyOptions{From: s.primary}, settings, pgtest.Name(name)))
	}
	s.Proxies = scene.ClusterOf(t, scene.Hosts(append(servers, s.standbys...)...)+" user=replproxy password=own", scene.RuleFile("ANY 1 (s2, s3)")+
		"auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)'}\n"+
		"access: [host all all 127.0.0.1/32 scram-sha-256, host replication standby 127.0.0.1/32 scram-sha-256]\n",
		"proxy_a", "proxy_b", "proxy_c")
	a, b, c := s.Proxies[0], s.Proxies[1], s.Proxies[2]
	const asStandby = " user=standby password=secret sslmode=disable"
	ofC := fmt.Sprintf("host=127.0.0.1 port=%d", c.Port) + asStandby
	for i, conninfo := range []string{fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d", a.Port, b.Port) + asStandby, ofC, ofC} {
		s.standbys[i].Set(t, "primary_conninfo = '"+conninfo+"'", waitsFor)
		s.standbys[i].Reload()
	}
	scene.Attached(t, a, "s1")
	scene.Attached(t, c, "s2", "s3")
	scene.WaitSatisfiable(t, s.Proxies...)
	s.primary.Set(t, waitsFor)
	s.primary.Reload()
	asTeller := []string{"user=teller", "password=money"}
	s.load = scene.StartLedger(t, s.primary, map[string]string{"b": b.Conninfo(asTeller...), "c": c.Conninfo(asTeller...)})
	s.SSH(t)
	return s
}

// The primary is dead, and the candidate lacks acknowledged WAL. Its own proxy dies too, after it was fenced, so the
// candidate has to log in anew, at a proxy that has never seen its role (ruling R14). With auth.method scram it is let in
// without a primary, fed, proven and promoted by the recipe.
func TestPromoteLoggedInAnew(t *testing.T) {
	s := newAnewSite(t)
	candidate, own, other := s.standbys[0], s.Proxies[0], s.Proxies[1]
	s.load.WaitProgress(t, 20)
	candidate.Kill9(t)
	s.load.WaitProgress(t, 50)
	pgtest.WaitFor(t, time.Minute, other.Name+" to keep the role", func() (bool, error) {
		b, _ := os.ReadFile(filepath.Join(other.DataDir, "auth", "roles"))
		return strings.Contains(string(b), `"standby"`), nil
	})
	s.primary.Kill9(t)
	for _, p := range s.Proxies {
		p.Program(t, "fence", "--timeline", "1", "--data-dir", p.DataDir)
	}
	tail := func(p *pgtest.Proxy) (string, error) {
		out, err := exec.Command(pgtest.Binary(t), "tail", "--timeline", "1", "--candidate", "s1", "--data-dir", p.DataDir).CombinedOutput()
		return string(out), err
	}
	if out, err := tail(own); err == nil {
		t.Errorf("proven before it is fed:\n%s", out)
	}
	own.Kill9(t)
	if out, err := tail(other); err == nil {
		t.Errorf("proven before it is fed:\n%s", out)
	} else {
		t.Logf("tail says of the candidate that is away:\n%s", out)
	}

	candidate.StartNoWait(t)
	scene.Attached(t, other, "s1")
	candidate.WaitReady(t)
	cmd, out := s.promote(t, 0)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), own.Name+" is not fenced") { // it is down, and was fenced before
		t.Errorf("%s answered\n%s", own.Name, out)
	}
	s.goesOn(t, candidate)
}
