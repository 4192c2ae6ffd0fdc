package upstream

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// leads is c whose host names lead to addresses.
func leads(t *testing.T, conninfo string, addresses ...string) *Config {
	t.Helper()
	r := *mustParse(t, conninfo).last.Load()
	r.dial.lookup = func(context.Context, string) ([]string, error) { return addresses, nil }
	c := &Config{fixed: true, current: &currentPrimary{}, trusts: map[site]*trust{}}
	c.adopt(&r)
	return c
}

// TestAddressesOfOneName: as in libpq they are tried in their order, each for connect_timeout: one that is silent, or
// refuses, or is no primary, hides none behind it.
func TestAddressesOfOneName(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	good, err := net.Listen("tcp", "127.0.0.4:0")
	if err != nil {
		t.Fatal(err)
	}
	port := good.Addr().(*net.TCPAddr).Port
	serve := func(l net.Listener, standby string) {
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					c.SetDeadline(time.Now().Add(20 * time.Second))
					if readStartup(c) != nil && standby != "" {
						c.Write(welcome(map[string]string{"in_hot_standby": standby}))
					}
					c.Read(make([]byte, 1))
				}()
			}
		}()
	}
	serve(good, "off")
	for addr, standby := range map[string]string{"127.0.0.2": "", "127.0.0.3": "on"} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", addr, port))
		if err != nil {
			t.Fatal(err)
		}
		serve(l, standby)
	}
	c := leads(t, fmt.Sprintf("host=db port=%d user=u sslmode=disable connect_timeout=2 target_session_attrs=primary", port),
		"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4") // refuses, silent, a standby, the primary
	params := map[string]string{"replication": "true"}
	s, err := c.Connect(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if want := fmt.Sprintf("127.0.0.4:%d", port); s.Endpoint.Addr != want || s.Endpoint.Host != "db" {
		t.Errorf("reached %+v, not %s", s.Endpoint, want)
	}
	rc, err := c.DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	if want := fmt.Sprintf("127.0.0.2:%d", port); rc.Endpoint.Addr != want { // it takes connections
		t.Errorf("a bare connection to %s, not %s", rc.Endpoint.Addr, want)
	}
	c.SetCurrent(s.Endpoint)
	if rc, err = c.DialRaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	rc.Close()
	if rc.Endpoint.Addr != s.Endpoint.Addr {
		t.Errorf("beside the stream, which comes from %s, a bare connection to %s", s.Endpoint.Addr, rc.Endpoint.Addr)
	}
}
