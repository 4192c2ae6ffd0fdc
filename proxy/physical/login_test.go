package physical_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// refusal is the error with which a log-in ends.
func refusal(t *testing.T, conninfo string, extra ...string) *pgconn.PgError {
	t.Helper()
	s, err := tryConnect(t, conninfo, extra...)
	if err == nil {
		s.conn.Close()
		t.Fatal("let in")
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("not an error of the protocol: %v", err)
	}
	return e
}

// What the primary refuses is refused in its own words, before and after authentication.
func TestRefusalsAreThePrimarysOwn(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	primary.Exec(t, "CREATE ROLE plain LOGIN PASSWORD 'secret'")
	primary.Exec(t, "CREATE ROLE nologin REPLICATION PASSWORD 'secret'")
	w := newWorld(t, primary, worldOptions{})
	for _, extra := range []string{
		"password=wrong", "user=nobody", "user=plain", "user=nologin",
		"options='-c no_such_setting=1'", "wal_sender_timeout=soon",
	} {
		want, got := refusal(t, primary.Conninfo(), extra), refusal(t, w.conninfo(), extra)
		if *got != *want {
			t.Errorf("%s\nprimary: %+v\n  proxy: %+v", extra, want, got)
		}
	}
	pgtest.WaitFor(t, readTimeout, "the gate to be free", func() (bool, error) { return w.gate.Status().Running == 0, nil })
}

// The session is shown as the primary describes it, but for pid and key.
func TestSessionIsThePrimarys(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	direct := connect(t, primary.Conninfo(), "application_name='stand\x7fby'")
	through := connect(t, w.conninfo(), "application_name='stand\x7fby'")
	for name, want := range direct.params {
		if got := through.params[name]; got != want {
			t.Errorf("%s: %q, the primary says %q", name, got, want)
		}
	}
	if len(direct.params) != len(through.params) || len(direct.params) < 10 {
		t.Errorf("%d parameters, the primary has %d", len(through.params), len(direct.params))
	}
	if through.pid <= 1<<22 || len(through.key) != 4 {
		t.Errorf("pid %d, key %x: want a pid above those of any server", through.pid, through.key)
	}
	other := connect(t, w.conninfo())
	if other.pid == through.pid || string(other.key) == string(through.key) {
		t.Errorf("two sessions have pid %d and %d, key %x and %x", other.pid, through.pid, other.key, through.key)
	}
	infos := w.server.Sessions()
	if len(infos) != 2 || infos[0].ApplicationName != "stand?by" || infos[0].PID != int32(through.pid) {
		t.Errorf("sessions: %+v", infos)
	}
}

// A rule that judged the proxy's address, or the proxy's operating system user, is no proof (R1, R34).
func TestUnprovenLogInIsRefused(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t)
	for name, upstream := range map[string]string{
		"both legs over loopback": primary.Conninfo(), "over the primary's unix socket": primary.SocketConninfo(),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, primary, worldOptions{upstream: upstream, access: []string{}})
			e := refusal(t, w.conninfo())
			if e.Code != "28000" || e.Severity != "FATAL" || !strings.Contains(e.Message, "proof") ||
				!strings.Contains(e.Hint, "--access") {
				t.Fatalf("%+v", e)
			}
		})
	}
	t.Run("trusted by an access rule", func(t *testing.T) {
		w := newWorld(t, primary, worldOptions{
			upstream: primary.SocketConninfo(),
			access:   []string{"host replication postgres 127.0.0.1/32 trust", "host replication all all relay"},
		})
		connect(t, w.conninfo())
		if e := refusal(t, w.conninfo(), "user=other"); e.Code != "28000" {
			t.Fatalf("%+v", e)
		}
	})
}

// A primary without a free walsender is asked again where another log-in of ours has one. That one is taken back if it
// can be spared, and the client never knows (R31).
func TestFullPrimaryIsRetried(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 3"))
	w := newWorld(t, primary, worldOptions{idleKeep: readTimeout})
	direct := connect(t, primary.Conninfo()) // somebody else has the one that would be free
	defer direct.conn.Close()
	first := connect(t, w.conninfo())
	defer first.conn.Close()
	connect(t, w.conninfo()).conn.Close()
	if !strings.Contains(primary.Log(), "number of requested standby connections exceeds") {
		t.Error("the primary was not full")
	}
}

// Where no log-in of ours has a walsender the client hears at once what the primary says.
func TestFullPrimaryIsTold(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 2"))
	w := newWorld(t, primary, worldOptions{authTimeout: 4 * time.Second})
	direct := connect(t, primary.Conninfo())
	defer direct.conn.Close()
	e := refusal(t, w.conninfo())
	if e.Code != "53300" || !strings.Contains(e.Message, "number of requested standby connections exceeds") {
		t.Fatalf("%+v", e)
	}
}

// The walreceiver's walsender is the only one: nobody else can log in, and is told why at once.
func TestPrimaryWithoutASpareWalsender(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 1"))
	w := newWorld(t, primary, worldOptions{})
	if e := refusal(t, w.conninfo()); e.Code != "53300" || !strings.Contains(e.Hint, "max_wal_senders") {
		t.Fatalf("%+v", e)
	}
}

// A client that leaves while it waits at the gate leaves nothing behind.
func TestClientLeavesTheQueue(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	holder := startup(t, w.addr.String())
	pgtest.WaitFor(t, readTimeout, "a log-in to run", func() (bool, error) { return w.gate.Status().Running == 1, nil })
	waiting := startup(t, w.addr.String())
	pgtest.WaitFor(t, readTimeout, "a log-in to wait", func() (bool, error) { return w.gate.Status().Waiting == 1, nil })
	waiting.Close()
	pgtest.WaitFor(t, readTimeout, "the queue to be empty", func() (bool, error) { return w.gate.Status().Waiting == 0, nil })
	holder.Close()
	pgtest.WaitFor(t, readTimeout, "the gate to be free", func() (bool, error) { return w.gate.Status().Running == 0, nil })
}

// One who was asked for a password and does not answer makes room for one who waits.
func TestSilentLogInMakesRoom(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	silent := startup(t, w.addr.String())
	s := &script{t: t, conn: silent, f: pgproto3.NewFrontend(silent, silent)}
	if _, err := s.receive(); err != nil { // the question it will not answer: it holds the place
		t.Fatal(err)
	}
	connect(t, w.conninfo())
	if got := s.transcript(); !strings.Contains(got, "57014") || !strings.HasSuffix(got, "closed") {
		t.Errorf("the silent one was told: %s", got)
	}
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, readTimeout)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// startup opens a connection and says no more than who it wants to be.
func startup(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn := dial(t, addr)
	sayHello(t, conn)
	return conn
}

// sayHello sends the startup packet of a physical walsender, with an option of the protocol. The primary's first
// message cannot be foretold then, so its log-in waits for a place before it is asked anything.
func sayHello(t testing.TB, conn net.Conn) {
	t.Helper()
	m := &pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": "postgres", "replication": "true", "_pq_.held": "1"},
	}
	b, err := m.Encode(nil)
	must(t, err)
	_, err = conn.Write(b)
	must(t, err)
}
