package proxy_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
)

// Regular sessions go first, walsenders outlive them and may still write; each in its own way.
func TestDrainOrder(t *testing.T) {
	asked := make(chan struct{})
	loggingIn := make(chan struct{})
	up := scripted(t, func(c net.Conn) {
		p, err := readPacket(c)
		if err == nil && strings.Contains(string(p), "slow") {
			close(loggingIn)
			_, _ = readPacket(c) // until the end
			return
		}
		_, _ = c.Write(welcome(7, "keys"))
		_, _ = readPacket(c)
	})
	var w *world
	walsender := make(chan error, 1)
	w = start(t, proxy.Options{Upstream: up, DrainGrace: 200 * time.Millisecond,
		Physical: handler(func(ctx context.Context, r *handshake.Request, s *proxy.Session) error {
			s.SetState(proxy.StateStreaming)
			<-ctx.Done()
			close(asked)
			if n := len(w.Sessions()); n != 1 {
				t.Errorf("%d sessions are left when the walsender is asked to end", n)
			}
			_, err := r.Conn.Write([]byte("the rest"))
			walsender <- err
			return nil
		})})
	standby := dial(t, w.tcp(), startup(v30, "user", "u", "replication", "1"))
	active := dial(t, w.tcp(), hello)
	active.expect('Z')
	slow := dial(t, w.tcp(), startup(v30, "user", "slow"))
	silent := dial(t, w.tcp(), hello[:4])
	<-loggingIn
	pgtest.WaitFor(t, patience, "three sessions", func() (bool, error) { return len(w.Sessions()) == 3, nil })

	began := time.Now()
	go func() { _ = w.stop() }()
	silent.expectEnd()
	slow.expectError(pgerror.AdminShutdown)
	active.expectEnd()
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("active sessions had %s", d)
	}
	<-asked
	if err := <-walsender; err != nil {
		t.Errorf("the walsender could not write: %v", err)
	}
	rest := make([]byte, 8)
	if _, err := standby.Read(rest); err != nil || string(rest) != "the rest" {
		t.Errorf("the standby got %q, %v", rest, err)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", w.tcp()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// A session that ends by itself within the grace is not disturbed, and nothing waits longer for it.
func TestDrainLetsSessionsFinish(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), DrainGrace: time.Hour})
	c := dial(t, w.tcp(), hello)
	c.expect('Z')
	stopped := make(chan error, 1)
	go func() { stopped <- w.stop() }()
	pgtest.WaitFor(t, patience, "the listeners' end", func() (bool, error) {
		probe, err := net.Dial("tcp", w.tcp())
		if err == nil {
			probe.Close()
		}
		return err != nil, nil
	})
	if _, err := c.Write([]byte{'Q', 0, 0, 0, 5, 'x'}); err != nil {
		t.Fatal(err)
	}
	c.expect('Q') // the echo
	c.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A walsender that does not listen loses its connection.
func TestDrainForcesWalsenders(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), PhysicalGrace: 100 * time.Millisecond,
		Physical: handler(func(_ context.Context, r *handshake.Request, _ *proxy.Session) error {
			_, err := r.Conn.Read(make([]byte, 1))
			return err
		})})
	c := dial(t, w.tcp(), startup(v30, "user", "u", "replication", "1"))
	pgtest.WaitFor(t, patience, "the session", func() (bool, error) { return len(w.Sessions()) == 1, nil })
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	c.expectEnd()
}
