package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

var (
	hbaLine  = regexp.MustCompile("`(host [^`]*<proxy>/32 scram-sha-256)`")
	passLine = regexp.MustCompile("`((?:db1:5432|proxy:6543):[^`]*)`")
)

// TestReadme sets a proxy between a primary and its standby, with the lines of README.md and nothing else.
func TestReadme(t *testing.T) {
	t.Parallel()
	page, h := scene.OpenPage(t, "README.md"), newHouse(t)
	db1, standby1, proxy := h.machine(t, "db1"), h.machine(t, "standby1"), h.machine(t, "proxy")
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	// Before: one standby follows the primary, and the operator gets everywhere.
	hba := []string{"host replication postgres " + standby1.Addr + "/32 trust", "host all postgres " + proxy.Addr + "/32 trust"}
	for _, m := range hbaLine.FindAllStringSubmatch(string(text), -1) {
		hba = append(hba, strings.ReplaceAll(m[1], "<proxy>", proxy.Addr))
	}
	pass := passLine.FindAllStringSubmatch(string(text), -1)
	if len(hba) != 4 || len(pass) != 2 {
		t.Fatalf("README.md has %q for pg_hba.conf and %q for password files", hba, pass)
	}
	primary := h.in.Primary(t, append(h.server(db1), pgtest.HBA(hba...))...)
	primary.Start(t)
	so := pgtest.StandbyOptions{From: primary, PrimaryConninfo: "host=db1 user=postgres"}
	standby := h.in.Standby(t, so, append(h.server(standby1), pgtest.Settings("cluster_name = ''"))...)
	standby.Start(t)
	pgtest.WaitCaughtUp(t, primary, standby)

	// The password file of the proxy's user, and of the standby's.
	for i, home := range []string{h.home(t, proxy), standby.SocketDir} {
		path := filepath.Join(home, ".pgpass")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(pass[i][1], "…", ownPassword)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.in.Give(t, path)
	}
	for line := range strings.Lines(page.Block(t, "CREATE ROLE replproxy")) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "bin/replproxy run"):
			h.background(t, proxy, line)
			pgtest.WaitFor(t, time.Minute, "the proxy to stream", func() (bool, error) {
				said, _ := h.run(t, proxy, false, "bin/replproxy status")
				return strings.Contains(said, "streaming"), nil
			})
		case strings.HasPrefix(line, "bin/replproxy status"):
			pgtest.WaitFor(t, time.Minute, "standby1 to be shown", func() (bool, error) {
				return strings.Contains(h.sh(t, proxy, line), "standby1"), nil
			})
		default:
			h.sh(t, proxy, line)
		}
	}
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	pgtest.WaitCaughtUp(t, primary, standby)
	pgtest.EqualData(t, primary, standby)
	if rows := pgtest.WaitStreaming(t, primary, 1); rows[0].ApplicationName != "proxy_a" {
		t.Errorf("the primary has the walsender %+v", rows[0])
	}
}
