package physical_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// thinker is a walsender's client that may begin SCRAM and then thinks, as one does that is far away.
type thinker struct {
	conn net.Conn
	f    *pgproto3.Frontend
}

func think(t *testing.T, w *world, from string) *thinker {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", w.addr.String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	sayName(t, conn, "postgres")
	return &thinker{conn, pgproto3.NewFrontend(conn, conn)}
}

// hears waits for a message of the proxy, and says which it is.
func (c *thinker) hears(t *testing.T) string {
	t.Helper()
	must(t, c.conn.SetReadDeadline(time.Now().Add(readTimeout)))
	m, err := c.f.Receive()
	must(t, err)
	return fmt.Sprintf("%T", m)
}

// begins answers the first question.
func (c *thinker) begins(t *testing.T) {
	t.Helper()
	c.f.Send(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=0123456789abcdefghijklmn")})
	must(t, c.f.Flush())
}

const (
	asksForProof = "*pgproto3.AuthenticationSASL"
	asksForRest  = "*pgproto3.AuthenticationSASLContinue"
)

func (w *world) waitGate(t *testing.T, what string, is func(running, apart, waiting int) bool) {
	t.Helper()
	pgtest.WaitFor(t, readTimeout, what, func() (bool, error) {
		s := w.gate.Status()
		return is(s.Running, s.Apart, s.Waiting), nil
	})
}

// TestFarStandbysAnswerTogether: of a known address many log-ins are with their clients at a time, as far as the
// primary has walsenders to spare. Of an unknown one only auth.max_upstream_walsenders are.
func TestFarStandbysAnswerTogether(t *testing.T) {
	t.Parallel()
	const far = 10
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 20"))
	w := newWorld(t, primary, worldOptions{})
	connect(t, w.conninfo()).send(&pgproto3.Terminate{}) // 127.0.0.1 is known, and so is what the primary asks
	free := func(running, apart, waiting int) bool { return running+apart+waiting == 0 }
	w.waitGate(t, "the gate to be free", free)
	var all []*thinker
	for range far {
		c := think(t, w, "127.0.0.1")
		if typ := c.hears(t); typ != asksForProof {
			t.Fatalf("a client is told %s", typ)
		}
		c.begins(t)
		all = append(all, c)
	}
	began := time.Now()
	for i, c := range all {
		if typ := c.hears(t); typ != asksForRest {
			t.Fatalf("client %d is told %s", i, typ)
		}
	}
	if s := w.gate.Status(); s.Running+s.Apart != far || s.Waiting != 0 {
		t.Errorf("after %v: %+v", time.Since(began), s)
	}
	for _, c := range all {
		c.conn.Close()
	}
	w.waitGate(t, "the gate to be free", free)
	for range 5 {
		c := think(t, w, "127.0.0.7")
		if typ := c.hears(t); typ != asksForProof {
			t.Fatalf("a stranger is told %s", typ)
		}
		c.begins(t)
	}
	w.waitGate(t, "strangers to take turns", func(running, apart, waiting int) bool {
		return running == 2 && apart == 0 && waiting == 3
	})
	connect(t, w.conninfo()) // passes them
}

// TestWaitingClientsAreAsked: who waits already when the first log-in shows what the primary asks is asked then.
func TestWaitingClientsAreAsked(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	w.gate.WalreceiverWaiting(true) // nobody is let in
	var all []*thinker
	for range 5 {
		all = append(all, think(t, w, "127.0.0.1"))
	}
	w.waitGate(t, "all to wait", func(_, _, waiting int) bool { return waiting == len(all) })
	w.gate.WalreceiverWaiting(false)
	for i, c := range all {
		if typ := c.hears(t); typ != asksForProof {
			t.Fatalf("client %d is told %s", i, typ)
		}
	}
	if s := w.gate.Status(); s.Running != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	for i, c := range all { // and nobody made room by being ended
		must(t, c.conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		if m, err := c.f.Receive(); err == nil {
			t.Errorf("client %d is told %+v", i, m)
		}
	}
}

// TestIdentifiedStandbyMakesRoom: what begins as a standby does makes room for others at once, what begins as
// pg_basebackup keeps its connection for half a second.
func TestIdentifiedStandbyMakesRoom(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 2"))
	w := newWorld(t, primary, worldOptions{})
	kept := func(first string) time.Duration { // for so long, though somebody waits
		connect(t, w.conninfo()).query(first)
		began := time.Now()
		k, err := w.gate.Acquire(t.Context(), "somebody")
		must(t, err)
		w.gate.Leave(k)
		return time.Since(began)
	}
	const grace = 400 * time.Millisecond
	if took := kept("SHOW data_directory_mode"); took < grace {
		t.Errorf("a base backup's connection is taken after %v", took)
	}
	for tries := 1; ; tries++ { // to end a connection takes a busy primary long
		took := kept("IDENTIFY_SYSTEM")
		if took < grace {
			return
		}
		if tries == 20 {
			t.Fatalf("a standby's connection is taken after %v", took)
		}
	}
}
