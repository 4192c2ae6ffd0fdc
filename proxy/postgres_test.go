package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/proxy"
)

const patience = time.Minute // on a busy machine

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Both legs over TCP and unix sockets: none of them lets a log-in without a proof pass, a rule does (rulings R1, R34).
func TestTrustIsNotLent(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	allow, relay := rules(t, "local all all trust", "host all all all trust"), &access.Current{}
	for _, tc := range []struct {
		name     string
		upstream proxy.Dialer
		access   proxy.Access
		host     func(*world) string
		refused  bool
	}{
		{"TCP to TCP", tcpTo(s), relay, func(*world) string { return "127.0.0.1" }, true},
		{"unix to TCP", tcpTo(s), relay, func(w *world) string { return w.host }, true},
		{"TCP to unix", unixTo(s), relay, func(*world) string { return "127.0.0.1" }, true},
		{"unix to unix", unixTo(s), relay, func(w *world) string { return w.host }, true},
		{"TCP to TCP by a rule", tcpTo(s), allow, func(*world) string { return "127.0.0.1" }, false},
		{"TCP to TCP by another address's rule", tcpTo(s), rules(t, "host all all 127.0.0.2/32 trust", "host all all all relay"),
			func(*world) string { return "127.0.0.1" }, true},
		{"unix to TCP by a rule", tcpTo(s), allow, func(w *world) string { return w.host }, false},
		{"TCP to unix by a rule", unixTo(s), allow, func(*world) string { return "127.0.0.1" }, false},
		{"unix to unix by a rule", unixTo(s), allow, func(w *world) string { return w.host }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := start(t, proxy.Options{Upstream: tc.upstream, Access: tc.access})
			rows, err := pgtest.Query(t.Context(), w.conninfo("host="+tc.host(w)), "SELECT 40+2")
			if !tc.refused {
				if err != nil || rows[0][0] != "42" {
					t.Fatalf("%v, %v", rows, err)
				}
				return
			}
			if sqlState(err) != "28000" || !strings.Contains(err.Error(), "log-in refused") {
				t.Fatalf("error %v", err)
			}
		})
	}
	if strings.Contains(s.Log(), "could not receive data") || strings.Contains(s.Log(), "unexpected EOF") {
		t.Errorf("the primary complains about refused log-ins:\n%s", s.Log())
	}
}

// What a trusted client sends ahead must not be executed before R1 has been asked.
func TestRefusedLoginExecutesNothing(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	s.Exec(t, "CREATE TABLE hit ()")
	w := start(t, proxy.Options{Upstream: unixTo(s), Access: &access.Current{}})
	c, err := net.Dial("tcp", w.tcp())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	query := "DROP TABLE hit\x00"
	packet := startup(v30, "user", "postgres")
	packet = append(packet, 'Q', 0, 0, 0, byte(4+len(query)))
	if _, err := c.Write(append(packet, query...)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(answer, []byte("C28000\x00")) {
		t.Fatalf("answer %q, %v", answer, err)
	}
	s.Exec(t, "SELECT * FROM hit")
}

func TestPasswordsPassThrough(t *testing.T) {
	for _, method := range []string{"scram-sha-256", "md5", "password"} {
		t.Run(method, func(t *testing.T) {
			s := pgtest.Need(t, 15).Primary(t, pgtest.HBA("host all all 127.0.0.1/32 "+method),
				pgtest.Settings("password_encryption = '"+strings.ReplaceAll(method, "password", "md5")+"'"))
			s.Exec(t, "CREATE ROLE alice LOGIN PASSWORD 'wonder'", "host="+s.SocketDir)
			for _, host := range []string{"127.0.0.1", ""} {
				w := start(t, proxy.Options{Upstream: tcpTo(s)})
				if host == "" {
					host = w.host
				}
				for password, want := range map[string]string{"wonder": "", "wrong": "28P01", "": "28P01"} {
					rows, err := pgtest.Query(t.Context(),
						w.conninfo("host="+host, "user=alice", "password='"+password+"'"), "SELECT current_user")
					if sqlState(err) != want || (want == "" && (err != nil || rows[0][0] != "alice")) {
						t.Errorf("%s, password %q: %v, %v", host, password, rows, err)
					}
				}
			}
		})
	}
}

func TestPsqlOverBothSockets(t *testing.T) {
	in := pgtest.Need(t, 15)
	s := in.Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s), Access: rules(t, "host all all all trust", "local all all trust")})
	dir := in.TempDir(t)
	listeners, err := proxy.Listen(t.Context(), []string{"unix:" + dir})
	if err != nil {
		t.Fatal(err)
	}
	start(t, proxy.Options{Upstream: tcpTo(s), Listeners: listeners,
		Access: rules(t, "local all all trust")})
	for _, conninfo := range []string{w.conninfo(), "user=postgres dbname=postgres port=6543 host=" + dir} {
		out := in.RunTool(t, dir, "psql", "-XAt", "-d", conninfo, "-c", "SELECT 'through'", "-c", `\conninfo`)
		if !strings.Contains(out, "through") {
			t.Errorf("psql printed %q", out)
		}
	}
}

func TestCopyBothWays(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	c := pgtest.Connect(t, w.conninfo())
	if _, err := c.Exec(t.Context(), "CREATE TABLE c (n int, filler text)").ReadAll(); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	const rows = 300_000
	line := strings.Repeat("x", 90)
	for i := range rows {
		in.WriteString(string(rune('0'+i%10)) + "\t" + line + "\n")
	}
	sent := bytes.Clone(in.Bytes())
	tag, err := c.CopyFrom(t.Context(), &in, "COPY c FROM STDIN")
	if err != nil || tag.RowsAffected() != rows {
		t.Fatalf("COPY FROM: %v, %v", tag, err)
	}
	var out bytes.Buffer
	if _, err := c.CopyTo(t.Context(), &out, "COPY c TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), sent) {
		t.Fatalf("sent %d bytes, got %d back, and they differ", len(sent), out.Len())
	}
	info := w.Sessions()
	if len(info) != 1 || info[0].FromClient < int64(len(sent)) || info[0].ToClient < int64(len(sent)) ||
		info[0].Class != handshake.Regular || info[0].User != "postgres" || info[0].State != proxy.StateActive {
		t.Errorf("session %+v", info)
	}
}

// sleeping begins a query that takes a minute, and returns how it ended.
func sleeping(t *testing.T, c *pgconn.PgConn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), "SELECT pg_sleep(60)").ReadAll()
		done <- err
	}()
	return done
}

func TestQueryCancelReachesItsServer(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	c := pgtest.Connect(t, w.conninfo())
	done := sleeping(t, c)
	pgtest.WaitFor(t, patience, "the query to run", func() (bool, error) {
		rows := s.SQL(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
		return rows[0][0] == "1", nil
	})
	if err := c.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; sqlState(err) != "57014" {
		t.Fatalf("error %v", err)
	}
}

func TestListenNotify(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	config, err := pgconn.ParseConfig(w.conninfo())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { got <- n.Payload }
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "LISTEN ch").ReadAll(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "NOTIFY ch, 'hello'")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.WaitForNotification(ctx); err != nil {
		t.Fatal(err)
	}
	if payload := <-got; payload != "hello" {
		t.Fatalf("payload %q", payload)
	}
}

func TestLogicalWalsenderIsRelayed(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t, pgtest.Settings("wal_level = logical"))
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	c := pgtest.Connect(t, w.conninfo("replication=database"))
	rows, err := pgtest.QueryConn(t.Context(), c, "IDENTIFY_SYSTEM")
	if err != nil || rows[0][3] != "postgres" {
		t.Fatalf("%v, %v", rows, err)
	}
	if info := w.Sessions(); len(info) != 1 || info[0].Class != handshake.LogicalWalsender {
		t.Fatalf("sessions %+v", info)
	}
}

// A primary's own refusal passes unchanged; one that is away is 57P03, within the client's patience.
func TestPrimaryThatRefusesOrIsAway(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	_, err := pgtest.Query(t.Context(), w.conninfo("dbname=nowhere"), "SELECT 1")
	if sqlState(err) != "3D000" {
		t.Errorf("no such database: %v", err)
	}
	_, err = pgtest.Query(t.Context(), w.conninfo("options='-c no_such=1'"), "SELECT 1")
	if sqlState(err) != "42704" {
		t.Errorf("no such setting: %v", err)
	}
	s.Stop(t, pgtest.Fast)
	_, err = pgtest.Query(t.Context(), w.conninfo(), "SELECT 1")
	if sqlState(err) != "57P03" || !strings.Contains(err.Error(), "cannot connect to the primary") {
		t.Errorf("primary down: %v", err)
	}
	gone := start(t, proxy.Options{Upstream: unixTo(s)})
	_, err = pgtest.Query(t.Context(), gone.conninfo(), "SELECT 1")
	if sqlState(err) != "57P03" {
		t.Errorf("no socket: %v", err)
	}
}

// A primary that dies takes its sessions along, at once.
func TestPrimaryThatDies(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t)
	w := start(t, proxy.Options{Upstream: tcpTo(s)})
	c := pgtest.Connect(t, w.conninfo())
	done := sleeping(t, c)
	pgtest.WaitFor(t, patience, "the session", func() (bool, error) { return len(w.Sessions()) == 1, nil })
	s.Kill9(t)
	select {
	case err := <-done:
		if err == nil {
			t.Fatal("the query ended well")
		}
	case <-time.After(patience):
		t.Fatal("the client still waits")
	}
	pgtest.WaitFor(t, patience, "the end of the session", func() (bool, error) { return len(w.Sessions()) == 0, nil })
}
