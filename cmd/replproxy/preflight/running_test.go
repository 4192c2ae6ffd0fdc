package preflight

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestRunningProxyFailsTheCheck: check stands for the proxy that runs, too.
func TestRunningProxyFailsTheCheck(t *testing.T) {
	t.Parallel()
	s := admin.Status{Name: "p", Upstream: admin.Upstream{State: admin.Streaming, Endpoint: "db1:5432"}}
	if c := Running(&s)[0]; c.Level != OK {
		t.Errorf("%+v", c)
	}
	s.Upstream.Lack, s.Upstream.LastError = &admin.Lack{Lost: true}, "has lost WAL"
	if c := Running(&s)[0]; c.Level != OK {
		t.Errorf("another host is refused, not this one: %+v", c)
	}
	s.Upstream.Member = "proxy_b"
	if c := Running(&s)[0]; c.Level != Fail || !strings.Contains(c.Text, "has lost WAL") {
		t.Errorf("%+v", c)
	}
	s.Upstream.State, s.Upstream.LastError = string(walreceiver.Disconnected), "has lost WAL"
	if c := Running(&s)[0]; c.Level != Fail || !strings.Contains(c.Text, "has lost WAL") || c.Remedy == "" {
		t.Errorf("%+v", c)
	}
}
