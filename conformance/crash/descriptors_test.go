package crash

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestDescriptorsUnderAttack: strangers who take all the connections that a low limit of open files allows, with and
// without a startup packet, end neither the proxy nor a switch of segments. Whoever can log in gets in, and the standby
// has everything while they stay.
func TestDescriptorsUnderAttack(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM("secret"))
	wrapper := filepath.Join(in.TempDir(t), "replproxy")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n 120\nexec %s \"$@\"\n", pgtest.Binary(t))
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Password: "secret", Binary: wrapper})
	standby := scene.StandbyOf(t, primary, proxy, "s1", "")
	scene.Attached(t, proxy, "s1")
	if !strings.Contains(proxy.Log(), "the limit of open files is too low for limits.max_connections") {
		t.Error("no warning at the start")
	}
	const startup = "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	dial := func(from string) net.Conn {
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", proxy.Port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	attack := func(from string, n int) {
		for i := range n {
			if conn := dial(from); i%3 > 0 {
				_, _ = conn.Write([]byte(startup))
			}
		}
	}
	// Strangers of another address push out their own: a client that is slow to say who it is, and one that logs in.
	for range 200 {
		dial("127.0.0.3") // and says nothing
	}
	attack("127.0.0.2", 200)
	slow := dial("127.0.0.1")
	attack("127.0.0.2", 40)
	_ = slow.SetDeadline(time.Now().Add(pgtest.ReplayTimeout))
	if _, err := slow.Write([]byte(startup)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := slow.Read(answer); err != nil || answer[0] != 'R' {
		t.Errorf("slow client: %q, %v; want a question for its password", answer, err)
	}
	_ = slow.Close()
	attack("127.0.0.2", 40)
	if _, err := pgtest.Query(t.Context(), proxy.Conninfo(), "SELECT 1"); err != nil {
		t.Errorf("client: %v", err)
	}
	for range 5 {
		primary.Exec(t, "SELECT pg_switch_wal(), txid_current()")
	}
	primary.Exec(t, "CREATE TABLE passed AS SELECT 1")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a client to log in", func() (bool, error) {
		rows, err := pgtest.Query(t.Context(), proxy.Conninfo(), "SELECT count(*) FROM passed")
		return err == nil && rows[0][0] == "1", nil
	})
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to have everything", func() (bool, error) {
		rows, err := pgtest.Query(t.Context(), standby.Conninfo(), "SELECT count(*) FROM pg_class WHERE relname = 'passed'")
		return err == nil && rows[0][0] == "1", nil
	})
	if !proxy.Running() {
		t.Fatal("the proxy has ended")
	}
	if code, _, err := proxy.Get(t.Context(), "/readyz"); err != nil || code != 200 {
		t.Errorf("/readyz: %d, %v", code, err)
	}
}
