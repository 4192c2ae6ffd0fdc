package upstream

import (
	"errors"
	"net"
	"testing"
	"time"
)

func mustParse(t *testing.T, conninfo string) *Config {
	t.Helper()
	c, err := Parse(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReplace: who holds the old Config dials the new hosts, and waits no longer for the old ones.
func TestReplace(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := mustParse(t, "host=192.0.2.1,192.0.2.2 user=a connect_timeout=1")
	c.SetCurrent(c.Endpoints()[1])
	c.UnsetCurrent() // nobody is known to be the primary: clients wait
	waiting := make(chan error, 1)
	go func() {
		rc, err := c.DialPrimary(t.Context(), time.Minute)
		if err == nil {
			rc.Close()
		}
		waiting <- err
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c.Replace(mustParse(t, "host=127.0.0.1 port="+port+" user=b dbname=x sslmode=disable"))
	if err := <-waiting; err != nil {
		t.Errorf("a client that waited: %v", err)
	}
	if _, known := c.Current(); known || c.Servers() != 1 || c.User() != "b" || c.Database() != "x" {
		t.Errorf("%s, %d servers, current known %v", c, c.Servers(), known)
	}
	rc, err := c.DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	c.Replace(mustParse(t, "host=127.0.0.1,127.0.0.2 user=c"))
	if _, err := c.DialPrimary(t.Context(), 0); !errors.Is(err, ErrNoPrimary) {
		t.Errorf("two hosts, none known to be the primary: %v", err)
	}
}
