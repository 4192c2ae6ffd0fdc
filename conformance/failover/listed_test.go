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

// TestLogInBySCRAMAmongHosts: conninfo lists all servers, none has TLS, and sslmode is the default, prefer. The
// primary is dead, the others answer as standbys. A standby that was restarted is let in by the cached answer about
// its role (ruling R33), and status and check say that there is no primary.
func TestLogInBySCRAMAmongHosts(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"), pgtest.HBA(
		"host all postgres all trust", "host replication postgres all trust",
		"host all all all scram-sha-256", "host replication all all scram-sha-256"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; CREATE ROLE standby LOGIN REPLICATION PASSWORD 'secret'; "+
		"CREATE ROLE replproxy LOGIN REPLICATION PASSWORD 'own' IN ROLE pg_monitor")
	primary.Exec(t, scene.AuthFunction(t))
	beside := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("beside"))
	back := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("back"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: "upstream: {conninfo: '" +
		scene.Hosts(primary, beside, back) + " user=replproxy password=own sslmode=prefer'}\n" +
		"auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)', cache_ttl: 200ms}\n" +
		"access: [host replication standby 127.0.0.1/32 scram-sha-256]\n"})
	back.Set(t, "primary_conninfo = '"+
		proxy.Conninfo("user=standby", "password=secret", "sslmode=disable", "application_name=back")+"'")
	back.Reload()
	scene.Attached(t, proxy, "back")
	pgtest.WaitFor(t, time.Minute, "the role to be kept", func() (bool, error) {
		b, _ := os.ReadFile(filepath.Join(proxy.DataDir, "auth", "roles"))
		return strings.Contains(string(b), `"standby"`), nil
	})
	primary.Kill9(t)
	back.Stop(t, pgtest.Fast)
	before := scene.Status(t, proxy).Upstream.Reconnects
	pgtest.WaitFor(t, time.Minute, "the proxy to have looked for a primary", func() (bool, error) {
		return scene.Status(t, proxy).Upstream.Reconnects >= before+3, nil
	})
	back.Start(t)
	scene.Attached(t, proxy, "back")
	pgtest.WaitFor(t, time.Minute, "status to say that there is no primary", func() (bool, error) {
		all := strings.Join(scene.Status(t, proxy).Warnings, "\n")
		return strings.Contains(all, "no host of upstream.conninfo is a primary"), nil
	})
	out, err := exec.Command(pgtest.Binary(t), "check", "-c", filepath.Join(proxy.SocketDir, "replproxy.yml"),
		"--data-dir", proxy.DataDir).CombinedOutput()
	if err == nil {
		t.Error("check passes")
	}
	for want, is := range map[string]bool{"no host is a primary: docs/failover.md": true, "does not follow a primary": true,
		fmt.Sprintf("127.0.0.1:%d is a standby, on timeline 1", beside.Port):         true,
		fmt.Sprintf("127.0.0.1:%d is a standby, on timeline 1", back.Port):           true,
		fmt.Sprintf("warn  upstream host              127.0.0.1:%d: ", primary.Port): true,
		"Make the function": false, "auth.query": false, "pg_hba  ": false} {
		if strings.Contains(string(out), want) != is {
			t.Errorf("check: %q is %v in\n%s", want, !is, out)
		}
	}
	if s := scene.Status(t, proxy); strings.Contains(s.Upstream.LastError, "refused TLS") ||
		strings.Contains(strings.Join(s.Warnings, "\n"), "does not answer for roles") {
		t.Errorf("last error %q, warnings %q", s.Upstream.LastError, s.Warnings)
	}
}
