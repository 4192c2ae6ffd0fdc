package upstream

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// parseHosts parses a conninfo with a host for each port.
func parseHosts(t *testing.T, extra string, ports ...int) *Config {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	hosts, list := "", ""
	for i, p := range ports {
		sep := ","
		if i == 0 {
			sep = ""
		}
		hosts += sep + "127.0.0.1"
		list += sep + fmt.Sprint(p)
	}
	c, err := Parse("host=" + hosts + " port=" + list + " user=u dbname=d sslmode=disable " + extra)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// role is a server that lets everybody in and says whether it is a standby.
func role(t *testing.T, standby string) int {
	return peer(t, func(c net.Conn) {
		readStartup(c)
		c.Write(welcome(map[string]string{"in_hot_standby": standby, "default_transaction_read_only": "off"}))
		c.Read(make([]byte, 1))
	})
}

func TestConnectAll(t *testing.T) {
	refusing := peer(t, func(c net.Conn) {
		readStartup(c)
		c.Write(refusal("FATAL", "57P03", "the database system is starting up"))
	})
	silent := peer(t, func(c net.Conn) { c.Read(make([]byte, 1000)); c.Read(make([]byte, 1)) })
	first, standby, second := role(t, "off"), role(t, "on"), role(t, "off")
	c := parseHosts(t, "", refusing, first, standby, silent, second)
	if n := c.Servers(); n != 5 {
		t.Errorf("%d servers", n)
	}
	for _, current := range []int{first, second} {
		sessions, err := c.ConnectAll(t.Context(), nil, time.Second)
		if len(sessions) != 2 || int(sessions[0].Endpoint.Port) != current {
			t.Fatalf("%d sessions, %v", len(sessions), err)
		}
		var starting *pgerror.Error
		if !errors.Is(err, ErrStandby) || !errors.Is(err, ErrLate) || !errors.As(err, &starting) {
			t.Errorf("the missing ones: %v", err)
		}
		c.SetCurrent(sessions[1].Endpoint)
		for _, s := range sessions {
			s.Close()
		}
	}
	if sessions, err := parseHosts(t, "", refusing, standby).ConnectAll(t.Context(), nil, 0); len(sessions) != 0 || err == nil {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
	sessions, err := parseHosts(t, "target_session_attrs=prefer-standby", first, second).ConnectAll(t.Context(), nil, time.Minute)
	if len(sessions) != 2 || err != nil {
		t.Errorf("no standby there: %d sessions, %v", len(sessions), err)
	}
	for _, s := range sessions {
		s.Close()
	}
}

// TestDialPrimary: with several hosts a client gets the one that the walreceiver is sure of, or waits.
func TestDialPrimary(t *testing.T) {
	first, second := role(t, "off"), role(t, "off")
	c := parseHosts(t, "", first, second)
	if _, err := c.DialPrimary(t.Context(), 0); !errors.Is(err, ErrNoPrimary) {
		t.Fatalf("before SetCurrent: %v", err)
	}
	dial := func(wait time.Duration) <-chan int {
		got := make(chan int, 1)
		go func() {
			rc, err := c.DialPrimary(t.Context(), wait)
			if err != nil {
				t.Error(err)
				got <- 0
				return
			}
			rc.Close()
			got <- int(rc.Endpoint.Port)
		}()
		return got
	}
	got := dial(time.Minute)
	c.SetCurrent(c.Endpoints()[1])
	if port := <-got; port != second {
		t.Errorf("port %d, expected %d", port, second)
	}
	c.UnsetCurrent()
	if e, known := c.Current(); !known || int(e.Port) != second {
		t.Error("a doubted endpoint is still tried first by the walreceiver")
	}
	began := time.Now()
	if _, err := c.DialPrimary(t.Context(), 50*time.Millisecond); !errors.Is(err, ErrNoPrimary) ||
		time.Since(began) < 50*time.Millisecond {
		t.Errorf("doubted: %v after %v", err, time.Since(began))
	}
	got = dial(time.Minute)
	c.SetCurrent(c.Endpoints()[0])
	if port := <-got; port != first {
		t.Errorf("port %d, expected %d", port, first)
	}
}

// TestDialPrimaryWaitsForARestart: a single host that does not answer is tried again.
func TestDialPrimaryWaitsForARestart(t *testing.T) {
	port := pgtest.FreePort(t)
	c := parseHosts(t, "", port)
	if _, err := c.DialPrimary(t.Context(), 0); err == nil {
		t.Fatal("nobody is there")
	}
	done := make(chan error, 1)
	go func() {
		rc, err := c.DialPrimary(t.Context(), time.Minute)
		if err == nil {
			rc.Close()
		}
		done <- err
	}()
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
