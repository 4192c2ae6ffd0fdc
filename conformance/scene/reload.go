package scene

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Reload gives the proxy another file and waits until it has looked at it.
func Reload(t *testing.T, proxy *pgtest.Proxy, content string) admin.Config {
	t.Helper()
	before := Status(t, proxy).Config
	proxy.Configure(t, content)
	proxy.Signal(syscall.SIGHUP)
	var now admin.Config
	pgtest.WaitFor(t, time.Minute, "SIGHUP to be answered", func() (bool, error) {
		now = Status(t, proxy).Config
		return now.Generation > before.Generation || now.LastError != before.LastError, nil
	})
	return now
}

// ConnectWait checks upstream.connect_wait while the primary is away: without it a client is refused, with it the
// client waits.
func (s *Site) ConnectWait(t *testing.T) {
	t.Helper()
	file := func(wait string) string {
		return fmt.Sprintf("upstream: {conninfo: %q, connect_wait: %s}\n", s.Primary.Conninfo(), wait)
	}
	Reload(t, s.Proxy, file("0s"))
	s.Primary.Stop(t, pgtest.Fast)
	if _, err := pgtest.Query(t.Context(), s.Proxy.Conninfo(), "SELECT 1"); err == nil {
		t.Fatal("a client got in without a primary")
	}
	Reload(t, s.Proxy, file("1min"))
	done := make(chan error, 1)
	go func() {
		_, err := pgtest.Query(t.Context(), s.Proxy.Conninfo("connect_timeout=60"), "SELECT 1")
		done <- err
	}()
	pgtest.WaitFor(t, time.Minute, "the client to wait", func() (bool, error) {
		return Status(t, s.Proxy).Sessions.Regular == 1, nil
	})
	s.Primary.Start(t)
	if err := <-done; err != nil {
		t.Errorf("connect_wait: %v", err)
	}
}
