package relay

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/internal/wire"
)

// TestDatabaseSessionOddQueries: a command is found however its Query comes, and nothing that is none is taken for one.
func TestDatabaseSessionOddQueries(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	connect := func() *rawSession {
		return hijack(t, proxy.Conninfo("replication=database", "application_name=odd"))
	}
	begin := connect().identify() &^ (16<<20 - 1)
	start := "START_REPLICATION PHYSICAL " + begin.String()
	blanks := strings.Repeat(" \t\n\r\f", 20_000)
	for name, tc := range map[string]struct {
		message []byte
		want    string
	}{
		"behind 100 kB of blanks":     {queryOf(blanks + start), "W"},
		"behind a vertical tab":       {queryOf("\v" + start), "W"}, // blank since 17
		"before 100 kB of blanks":     {queryOf(start + blanks), "W"},
		"of more than a megabyte":     {queryOf(start + strings.Repeat(blanks, 12)), "E 54000 replication command of "},
		"blanks only":                 {queryOf(strings.Repeat(blanks, 12)), "E 54000 "},
		"without an end":              {wire.AppendFrame(nil, 'Q', []byte(start)), "E 08P01 invalid string in message Z"},
		"with bytes behind its end":   {wire.AppendFrame(nil, 'Q', []byte(start+"\x00x\x00")), "E 08P01 invalid message format Z"},
		"behind a NUL":                {wire.AppendFrame(nil, 'Q', []byte("\x00"+start+"\x00")), "E 08P01 invalid message format Z"},
		"with a NUL within":           {wire.AppendFrame(nil, 'Q', []byte("START_\x00REPLICATION PHYSICAL 0/0\x00")), "E 08P01 "},
		"nothing":                     {wire.AppendFrame(nil, 'Q', nil), "E 08P01 invalid string in message Z"},
		"in lower case":               {queryOf(strings.ToLower(start)), "E 42601 syntax error at or near \"start_replication\" Z"},
		"behind a comment":            {queryOf("/**/" + start), "E 42601 syntax error at or near \"START_REPLICATION\" Z"},
		"behind a byte order mark":    {queryOf("\xef\xbb\xbf" + start), "E 42601 "},
		"behind a semicolon":          {queryOf(";" + start), "E 42601 "},
		"before SQL":                  {queryOf(start + "; SELECT 1"), "E 42601 syntax error Z"},
		"as a prepared statement":     {append(wire.AppendFrame(nil, 'P', []byte("\x00"+start+"\x00\x00\x00")), wire.AppendFrame(nil, 'S', nil)...), "E 08P01 extended query protocol not supported in a replication connection Z"},
		"within the extended one":     {append(append(wire.AppendFrame(nil, 'P', []byte("\x00SELECT 1\x00\x00\x00")), queryOf(start)...), wire.AppendFrame(nil, 'S', nil)...), "E 08P01 extended query protocol not supported in a replication connection Z"},
		"as a function call":          {wire.AppendFrame(nil, 'F', []byte(start)), "E 08P01 fastpath function calls not supported in a replication connection Z"},
		"SQL of 20 MB":                {queryOf("SELECT length('" + strings.Repeat("x", 20<<20) + "')"), "T D C Z"},
		"SQL of 16 kB and some bytes": {queryOf("SELECT '" + strings.Repeat("x", 16<<10) + "'"), "T D C Z"},
		"a dot for a timeline":        {queryOf(start + " TIMELINE 1."), "E 42601 syntax error Z"},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect()
			defer c.close()
			for _, b := range cut(tc.message) {
				c.say(b)
			}
			if got := c.until("ZW"); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%.200s, want %s", got, tc.want)
			}
			if n := streaming(t, primary, "odd"); n != "0" {
				t.Fatalf("%s walsenders stream at the primary", n)
			}
			if strings.HasSuffix(tc.want, "Z") {
				if got := c.ask("SELECT 1"); got != "T D C Z" {
					t.Errorf("then %s", got)
				}
			}
		})
	}
}

// cut gives a short message byte by byte.
func cut(message []byte) (pieces [][]byte) {
	if len(message) > 200 {
		return [][]byte{message}
	}
	for i := range message {
		pieces = append(pieces, message[i:i+1])
	}
	return pieces
}

// TestDatabaseSessionEnds: a stream of WAL to a session on a database ends by CancelRequest, with its backend at the
// primary, with its client, and with the proxy. Each end is as PostgreSQL's would be.
func TestDatabaseSessionEnds(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	slot := hijack(t, proxy.Conninfo("replication=true"))
	if got := slot.ask("CREATE_REPLICATION_SLOT s PHYSICAL"); got != "T D C Z" {
		t.Fatal(got)
	}
	begin := slot.identify() &^ (16<<20 - 1)
	stream := func() *rawSession {
		t.Helper()
		c := hijack(t, proxy.Conninfo("replication=database", "application_name=ends"))
		pgtest.WaitFor(t, time.Minute, "the slot to be free", func() (bool, error) {
			got := c.ask("START_REPLICATION SLOT s PHYSICAL " + begin.String())
			if got != "W" && !strings.HasPrefix(got, "E 55006") {
				return false, fmt.Errorf("start: %s", got)
			}
			return got == "W", nil
		})
		return c
	}
	c := stream()
	cancel(t, proxy.Port, c)
	if got := c.until("Z"); got != "E 57014 canceling statement due to user request Z" {
		t.Errorf("cancelled: %s", got)
	}
	if got := c.ask("SELECT 1"); got != "T D C Z" {
		t.Errorf("after it: %s", got)
	}
	c.say(queryOf("SELECT pg_sleep(600)"))
	pgtest.WaitFor(t, time.Minute, "the query to run", func() (bool, error) {
		return primary.Scalar(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1", nil
	})
	cancel(t, proxy.Port, c)
	if got := c.until("Z"); got != "T E 57014 canceling statement due to user request Z" {
		t.Errorf("cancelled at the primary: %s", got)
	}
	c.close()

	c = stream()
	primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ends'")
	if got := c.until(""); got != "E 57P01 terminating connection due to administrator command end" {
		t.Errorf("terminated: %s", got)
	}
	c = stream()
	c.close()
	c = stream() // waits until that has been noticed
	primary.Stop(t, pgtest.Immediate)
	if got := c.until(""); !strings.HasSuffix(got, "end") {
		t.Errorf("the primary crashed: %s", got)
	}
	primary.Start(t)
	c = stream()
	begun := time.Now()
	proxy.Signal(syscall.SIGTERM)
	if got := c.until(""); !strings.HasSuffix(got, "end") {
		t.Errorf("the proxy stops: %s", got)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("the proxy took %s to end the stream", took)
	}
	proxy.WaitExit(t)
}

// cancel sends a CancelRequest for a session.
func cancel(t *testing.T, port int, s *rawSession) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(s.cancel); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // until it has been looked at
}

// TestOwnSlotIsNobodys: the proxy's own slot on the primary is not dropped, used or made again through the proxy, also
// while the stream does not use it, as under a rule.
func TestOwnSlotIsNobodys(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Config: "slots: {auto_create: true}\n" +
		scene.RuleFile("1 (absent)")})
	pgtest.WaitFor(t, time.Minute, "the slot to be idle", func() (bool, error) {
		return primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE NOT active") == "1", nil
	})
	for _, replication := range []string{"true", "database"} {
		c := hijack(t, proxy.Conninfo("replication="+replication))
		begin := c.identify() &^ (16<<20 - 1)
		for command, want := range map[string]string{
			"DROP_REPLICATION_SLOT replproxy_proxy":                               "E 55006 ",
			`DROP_REPLICATION_SLOT "replproxy_proxy" WAIT`:                        "E 55006 ",
			"DROP_REPLICATION_SLOT REPLPROXY_proxy":                               "E 55006 ",
			"START_REPLICATION SLOT replproxy_proxy PHYSICAL " + begin.String():   "E 55006 ",
			"CREATE_REPLICATION_SLOT replproxy_proxy PHYSICAL":                    "E 42710 ",
			"CREATE_REPLICATION_SLOT Replproxy_Proxy PHYSICAL (RESERVE_WAL true)": "E 42710 ",
			"CREATE_REPLICATION_SLOT replproxy_proxy TEMPORARY LOGICAL pgoutput":  "E ",
			"ALTER_REPLICATION_SLOT replproxy_proxy (FAILOVER)":                   "E ",
			"START_REPLICATION SLOT replproxy_proxy LOGICAL 0/0":                  "E 55000 ",
			"READ_REPLICATION_SLOT replproxy_proxy":                               "T D C Z",
		} {
			if got := c.ask(command); !strings.HasPrefix(got, want) {
				t.Errorf("replication=%s, %s: %s", replication, command, got)
			}
		}
	}
	if n := primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'replproxy_proxy'"); n != "1" {
		t.Errorf("%s own slots on the primary", n)
	}
}

// TestDatabaseSessionBySCRAM: the same by SCRAM over TLS on both legs, where the proxy logs in for its client.
func TestDatabaseSessionBySCRAM(t *testing.T) {
	t.Parallel()
	const all = "access: [hostssl all all 127.0.0.1/32 scram-sha-256"
	for _, tc := range []struct{ access, want string }{
		{all + "]\n", "E 28000 "}, {all + ", hostssl replication app 127.0.0.1/32 scram-sha-256]\n", "W"},
		{all + ", hostssl replication app 127.0.0.1/32 reject]\n", "E 28000 "},
	} {
		s := scene.NewSCRAMSite(t, pgtest.Need(t, 15), tc.access)
		c := hijack(t, s.Through("replication=database", "dbname=app", "application_name=proxy"))
		begin := c.identify() &^ (16<<20 - 1)
		if got := c.ask("START_REPLICATION PHYSICAL " + begin.String()); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %s", tc.access, got)
		}
		if n := streaming(t, s.Primary, "proxy"); n != "1" {
			t.Errorf("%s: %s walsenders stream at the primary under the proxy's name", tc.access, n)
		}
	}
}
