package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestAuthPage sets up auth.method: scram by the three steps of docs/auth.md. A standby, an application, the console and
// pg_receivewal come in; a role that no rule names is told whose rules these are, and check says who is left out.
func TestAuthPage(t *testing.T) {
	t.Parallel()
	h, page := newHouse(t), scene.OpenPage(t, "docs/auth.md")
	db1, s1, proxy := h.machine(t, "db1"), h.machine(t, "s1"), h.machine(t, "proxy_a", "proxy")
	hba := strings.ReplaceAll(page.Block(t, "<address of the proxy>"), "<address of the proxy>", proxy.Addr)
	lines := append(strings.Split(strings.TrimSpace(hba), "\n"), "host replication postgres "+s1.Addr+"/32 trust")
	primary := h.in.Primary(t, append(h.server(db1), pgtest.HBA(lines...))...)
	primary.Start(t)
	for _, role := range []string{"replproxy REPLICATION", "standby REPLICATION", "other REPLICATION", "app"} {
		primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE "+role+" LOGIN PASSWORD '"+ownPassword+"'")
	}
	so := pgtest.StandbyOptions{From: primary, PrimaryConninfo: "host=db1 user=postgres"}
	standby := h.in.Standby(t, so, h.server(s1)...)
	standby.Start(t)
	h.write(t, "proxy_a/function.sql", page.Block(t, "CREATE FUNCTION"), 0o644)
	h.sh(t, proxy, "psql -v ON_ERROR_STOP=1 -h db1 -d postgres -f "+proxy.dir+"/function.sql")

	rules := page.Block(t, "access:")
	config := "name: proxy_a\nupstream: {conninfo: host=db1 user=replproxy}\n" + rules
	without, _, _ := strings.Cut(config, "access:")
	h.write(t, "proxy_a/etc/replproxy.yml", without, 0o644)
	if said := h.sh(t, proxy, "replproxy check -c /etc/replproxy/replproxy.yml"); !strings.Contains(said, "warn  access") ||
		!strings.Contains(said, "no standby, pg_basebackup or pg_receivewal is admitted") {
		t.Errorf("check without rules: %s", said)
	}
	h.write(t, "proxy_a/etc/replproxy.yml", config, 0o644)
	if said := h.sh(t, proxy, "replproxy check -c /etc/replproxy/replproxy.yml"); !strings.Contains(said, "ok    access") {
		t.Errorf("check with the page's rules: %s", said)
	}
	h.background(t, proxy, "replproxy run -c /etc/replproxy/replproxy.yml")
	as := func(user string) string {
		return "host=proxy_a port=6543 dbname=postgres user=" + user + " password=" + ownPassword
	}
	pgtest.WaitFor(t, time.Minute, "the application to come in", func() (bool, error) {
		_, err := h.run(t, s1, false, `psql -Atc "SELECT 1" "`+as("app")+`"`)
		return err == nil, nil
	})
	standby.Exec(t, "ALTER SYSTEM SET primary_conninfo = '"+as("standby")+" application_name=s1'")
	standby.Reload()
	pgtest.WaitFor(t, time.Minute, "the standby to be shown", func() (bool, error) {
		return strings.Contains(h.sh(t, proxy, "replproxy status"), "s1 "), nil
	})
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, standby)
	h.sh(t, s1, `psql -Atc "SHOW version" "`+as("standby")+` dbname=replproxy"`)
	h.sh(t, s1, `mkdir wal && pg_receivewal -D wal -E "$(psql -AtXc 'SELECT pg_current_wal_lsn()' "`+as("app")+`")" -d "`+as("standby")+`"`)
	said, err := h.run(t, s1, false, `psql -c IDENTIFY_SYSTEM "`+as("other")+` replication=true"`)
	if err == nil || !strings.Contains(said, "no pg_hba.conf entry for replication connection") ||
		!strings.Contains(said, "replproxy's own rules, access in its configuration") {
		t.Errorf("who is in no rule: %v", err)
	}
	listed(t, proxy)
}
