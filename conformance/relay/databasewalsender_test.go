package relay

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// TestDatabaseSessionIsNoVote: whoever has REPLICATION and a database becomes neither the proxy's vote at the primary
// nor a second walsender there, whatever it says and however it calls itself (ruling R35).
func TestDatabaseSessionIsNoVote(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	s := &scene.QuorumSite{Site: scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: scene.RuleFile("1 (absent)")},
		pgtest.Settings("wal_level = logical", "max_wal_senders = 30"))}
	s.Primary.Exec(t, "CREATE TABLE q (n int); CREATE ROLE cdc LOGIN REPLICATION; GRANT ALL ON q TO cdc; "+
		"CREATE ROLE named LOGIN REPLICATION; ALTER ROLE named SET application_name = 'proxy'")
	s.Primary.Exec(t, "SELECT pg_create_logical_replication_slot('l', 'test_decoding')")
	s.WaitSync(t)
	commit := s.Begin(t, "on")
	as := func(extra string) *rawSession {
		return hijack(t, s.Proxy.Conninfo("user=cdc", "replication=database", extra))
	}
	at := as("").identify()
	begin := at &^ (16<<20 - 1)
	t.Run("physical", func(t *testing.T) {
		for _, form := range []string{
			"START_REPLICATION %s", "START_REPLICATION PHYSICAL %s TIMELINE 1;", "\n\tSTART_REPLICATION  PHYSICAL %s",
		} {
			c := as("application_name=proxy")
			if got := c.ask(fmt.Sprintf(form, begin)); got != "W" {
				t.Fatalf("%s: %s", form, got)
			}
			c.say(reply(1 << 62))
			s.Waits(t, commit)
			if n := streaming(t, s.Primary, "proxy"); n != "1" {
				t.Errorf("%s: %s walsenders stream at the primary under the proxy's name", form, n)
			}
			c.say(wire.AppendFrame(nil, 'c', nil))
			if got := c.until("Z"); got != "c C C Z" && got != "c C Z" {
				t.Errorf("the end of the stream: %s", got)
			}
			if got := c.ask("SELECT 1"); got != "T D C Z" {
				t.Errorf("SQL after a stream: %s", got)
			}
			c.close()
		}
	})
	t.Run("pipelined", func(t *testing.T) {
		start := queryOf("START_REPLICATION PHYSICAL " + begin.String())
		for name, before := range map[string][]byte{
			"SQL":               queryOf("SELECT pg_sleep(0.1)"),
			"COPY OUT":          queryOf("COPY (SELECT generate_series(1, 10000)) TO STDOUT"),
			"COPY IN that ends": append(queryOf("COPY q FROM STDIN"), wire.AppendFrame(nil, 'c', nil)...),
			"COPY IN that fails": append(queryOf("COPY q FROM STDIN"),
				wire.AppendFrame(wire.AppendFrame(nil, 'd', []byte("no number\n")), 'c', nil)...),
			"COPY of no table": append(queryOf("COPY none FROM STDIN"), wire.AppendFrame(nil, 'c', nil)...),
			"Syncs within COPY IN": append(queryOf("COPY q FROM STDIN"), wire.AppendFrame(wire.AppendFrame(
				wire.AppendFrame(nil, 'S', nil), 'S', nil), 'c', nil)...),
			"logical stream that ends": append(queryOf("START_REPLICATION SLOT l LOGICAL 0/0"),
				wire.AppendFrame(nil, 'c', nil)...),
			"extended protocol": wire.AppendFrame(wire.AppendFrame(nil, 'P', []byte("\x00SELECT 1\x00\x00\x00")), 'S', nil),
		} {
			c := as("application_name=other")
			c.say(before, start)
			if name == "logical stream that ends" {
				c.until("W")
			}
			if got := c.until("W"); !strings.HasSuffix(got, "Z W") {
				t.Errorf("%s: %s", name, got)
			}
			if n := streaming(t, s.Primary, "other"); n != "0" {
				t.Errorf("%s: %s walsenders stream at the primary", name, n)
			}
			c.close()
		}
	})
	t.Run("within COPY", func(t *testing.T) { // the Query ends the session, or waits for the error that ended COPY
		start := queryOf("START_REPLICATION PHYSICAL " + begin.String())
		bad := wire.AppendFrame(nil, 'd', []byte("no number\nno number\n"))
		for range 20 {
			c := as("application_name=other")
			c.say(queryOf("COPY q FROM STDIN"))
			if got := c.until("GZ"); got != "G" {
				t.Fatal(got)
			}
			c.say(bad, start, reply(1<<62))
			got := c.until("W")
			if got != "E 22P02 invalid input syntax for type integer: \"no number\" Z W" && !strings.HasSuffix(got, "end") {
				t.Error(got)
			}
			if n := streaming(t, s.Primary, "other"); n != "0" {
				t.Fatalf("%s walsenders stream at the primary", n)
			}
			c.close()
		}
	})
	t.Run("logical", func(t *testing.T) {
		for _, extra := range []string{
			"application_name=proxy", "application_name=PROXY", "application_name=Absent",
			"options='-c application_name=proxy'", "options='--application-name=proxy'", "user=named",
		} {
			c := as(extra)
			if got := c.ask("START_REPLICATION SLOT l LOGICAL 0/0"); !strings.HasPrefix(got, "E 42501") {
				t.Errorf("%s: %s", extra, got)
			}
			c.close()
		}
		for _, set := range []string{
			"SET application_name = 'proxy'", "SELECT set_config('Application_Name', 'pRoxy', false)",
			"BEGIN; SET LOCAL application_name = 'x'; COMMIT; SET SESSION application_name TO proxy",
			"SELECT 1; DO $$ BEGIN SET application_name = proxy; END $$",
		} {
			c := as("application_name=cdc")
			if got := c.ask(set); strings.Contains(got, "E ") {
				t.Fatalf("%s: %s", set, got)
			}
			if got := c.ask("START_REPLICATION SLOT \"l\" LOGICAL 0/0;"); !strings.HasPrefix(got, "E 42501") {
				t.Errorf("%s: %s", set, got)
			}
			if got := c.ask("SELECT 1"); got != "T D C Z" {
				t.Errorf("SQL after a refusal: %s", got)
			}
			c.close()
		}
		pgtest.WaitFor(t, time.Minute, "the slot to be free", func() (bool, error) {
			return s.Primary.Scalar(t, "SELECT active FROM pg_replication_slots WHERE slot_name = 'l'") == "f", nil
		})
		c := as("application_name=proxy")
		if got := c.ask("SET application_name = 'cdc'"); got != "C S Z" {
			t.Fatal(got)
		}
		if got := c.ask("START_REPLICATION SLOT l LOGICAL 0/0"); got != "W" {
			t.Errorf("under another name: %s", got)
		}
	})
	if n := streaming(t, s.Primary, "proxy"); n != "1" {
		t.Errorf("%s walsenders stream at the primary under the proxy's name", n)
	}
	if !s.Waits(t, commit) {
		t.Error("the commit has returned")
	}
	s.Primary.Set(t, "synchronous_standby_names = ''")
	s.Primary.Reload()
}

// reply is a standby's report that it has everything up to at.
func reply(at lsn.LSN) []byte {
	p := lsn.Progress{Write: at, Flush: at, Apply: at}
	return wire.AppendFrame(nil, 'd', copyboth.StatusUpdate{Progress: p}.Append(nil))
}

// TestDatabaseSessionRules: physical commands of a session on a database need what a physical walsender needs.
func TestDatabaseSessionRules(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	primary.Exec(t, "CREATE ROLE cdc LOGIN REPLICATION")
	primary.Exec(t, "SELECT pg_create_logical_replication_slot('l', 'test_decoding')")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Config: `access:
  - host all,replication postgres all trust
  - host postgres cdc all trust
`})
	if got := refusedWith(t, proxy.Conninfo("user=cdc", "replication=true")); !strings.HasPrefix(got, "28000 ") {
		t.Fatalf("as a physical walsender: %q", got)
	}
	at := hijack(t, proxy.Conninfo("replication=true")).identify()
	c := hijack(t, proxy.Conninfo("user=cdc", "replication=database"))
	for _, physical := range []string{
		"START_REPLICATION " + at.String(), "CREATE_REPLICATION_SLOT p PHYSICAL", "CREATE_REPLICATION_SLOT p TEMPORARY PHYSICAL",
		"BASE_BACKUP",
	} {
		if got := c.ask(physical); !strings.HasPrefix(got, "E 28000 no pg_hba.conf entry for replication connection") {
			t.Errorf("%s: %s", physical, got)
		}
	}
	for _, logical := range []string{"IDENTIFY_SYSTEM", "READ_REPLICATION_SLOT p", "SELECT 1", "DROP_REPLICATION_SLOT l"} {
		if got := c.ask(logical); !strings.HasSuffix(got, "C Z") {
			t.Errorf("%s: %s", logical, got)
		}
	}
	if n := primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'replproxy_proxy'"); n != "0" {
		t.Errorf("%s slots at the primary", n)
	}
}

// TestDatabaseSessionProof: a session on a database that was let in without an exchange gets WAL only where a physical
// walsender would be let in without one.
func TestDatabaseSessionProof(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	primary.Exec(t, "CREATE ROLE relayed LOGIN REPLICATION; CREATE ROLE rejected LOGIN REPLICATION; "+
		"CREATE ROLE trusted LOGIN REPLICATION")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Config: `access:
  - host postgres all 127.0.0.1/32 trust
  - host replication relayed 127.0.0.1/32 relay
  - host replication rejected 127.0.0.1/32 reject
  - host replication trusted,postgres 127.0.0.1/32 trust
`})
	for _, tc := range []struct{ user, refusal string }{
		{"relayed", "E 28000 log-in refused: the primary let replproxy in without asking this client for a proof Z"},
		{"rejected", `E 28000 pg_hba.conf rejects replication connection for host "127.0.0.1", user "rejected", no encryption Z`},
		{"trusted", ""},
	} {
		c := hijack(t, proxy.Conninfo("user="+tc.user, "replication=database"))
		at := c.identify()
		for _, step := range []struct{ query, want string }{
			{"CREATE_REPLICATION_SLOT evil PHYSICAL RESERVE_WAL", "T D C Z"},
			{"DROP_REPLICATION_SLOT evil", "C Z"},
			{"BASE_BACKUP (MANIFEST 'no', TARGET 'blackhole')", "T D C T D C H N c T D C C Z"},
			{"START_REPLICATION PHYSICAL " + at.String(), "W"},
		} {
			want := cmp.Or(tc.refusal, step.want)
			if tc.refusal != "" && strings.HasPrefix(step.query, "DROP") {
				want = `E 42704 replication slot "evil" does not exist Z` // which is the primary's answer
			}
			if got := c.ask(step.query); got != want {
				t.Errorf("%s: %s: %s", tc.user, step.query, got)
			}
		}
		c.close()
	}
}

// TestDatabaseSessionSlots: the slots of the proxy are found by sessions on a database, and nothing of the primary's
// has their names.
func TestDatabaseSessionSlots(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, pgtest.Settings("wal_level = logical"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	c := hijack(t, proxy.Conninfo("replication=database"))
	for _, step := range []struct{ query, want string }{
		{"CREATE_REPLICATION_SLOT ours PHYSICAL (RESERVE_WAL)", "T D C Z"},
		{"CREATE_REPLICATION_SLOT OURS LOGICAL pgoutput", `E 42710 replication slot "ours" already exists Z`},
		{`CREATE_REPLICATION_SLOT "ours" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')`,
			`E 42710 replication slot "ours" already exists Z`},
		{"START_REPLICATION SLOT ours LOGICAL 0/0 (x 'y')",
			"E 55000 cannot use physical replication slot for logical decoding Z"},
		{"ALTER_REPLICATION_SLOT ours (FAILOVER)",
			"E 0A000 cannot use ALTER_REPLICATION_SLOT with a physical replication slot Z"},
		{"READ_REPLICATION_SLOT ours", "T D C Z"},
		{"BEGIN", "C Z"},
		{"CREATE_REPLICATION_SLOT other PHYSICAL", "T D C Z"},
		{"CREATE_REPLICATION_SLOT ours PHYSICAL", `E 42710 replication slot "ours" already exists Z`},
		{"SELECT 1", "E 25P02 current transaction is aborted, commands ignored until end of transaction block Z"},
		{"DROP_REPLICATION_SLOT other",
			"E 25P02 current transaction is aborted, commands ignored until end of transaction block Z"},
		{"ROLLBACK", "C Z"},
		{"CREATE_REPLICATION_SLOT gone TEMPORARY LOGICAL pgoutput", "T D C Z"},
		{"CREATE_REPLICATION_SLOT ours PHYSICAL", `E 42710 replication slot "ours" already exists Z`},
		{"DROP_REPLICATION_SLOT gone", `E 42704 replication slot "gone" does not exist Z`},
		{"CREATE_REPLICATION_SLOT temp TEMPORARY PHYSICAL", "T D C Z"},
		{"SELECT 1/0", "T E 22012 division by zero Z"},
		{"DROP_REPLICATION_SLOT temp", `E 42704 replication slot "temp" does not exist Z`},
		{"DROP_REPLICATION_SLOT other WAIT", "C Z"},
	} {
		want := step.want
		if got := c.ask(step.query); got != want && got != "T "+want && "T "+got != want {
			t.Errorf("%s: %s", step.query, got)
		}
	}
	here := hijack(t, proxy.Conninfo("replication=true"))
	if got := here.ask("DROP_REPLICATION_SLOT ours"); got != "C Z" {
		t.Errorf("a physical walsender does not find the slot: %s", got)
	}
	if n := primary.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'replproxy_proxy'"); n != "0" {
		t.Errorf("%s slots at the primary", n)
	}
}

// TestQueryWithinUpload: a Query that a physical walsender sends while the primary takes a manifest is not executed
// there, although the manifest is no good and COPY has ended. It is answered after the error.
func TestQueryWithinUpload(t *testing.T) {
	t.Parallel()
	in := pgtest.Need(t, 17)
	primary := in.Primary(t)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	begin := hijack(t, proxy.Conninfo("replication=true")).identify() &^ (16<<20 - 1)
	for range 10 {
		c := hijack(t, proxy.Conninfo("replication=true", "application_name=other"))
		c.say(queryOf("UPLOAD_MANIFEST"))
		if got := c.until("GZ"); got != "G" {
			t.Fatal(got)
		}
		// The second piece has the first one parsed.
		bad := wire.AppendFrame(nil, 'd', []byte(strings.Repeat("no manifest ", 9000)))
		c.say(bad, bad, queryOf("START_REPLICATION PHYSICAL "+begin.String()))
		got := c.until("W")
		if !strings.HasPrefix(got, "E ") || !strings.HasSuffix(got, "Z W") && !strings.HasSuffix(got, "end") {
			t.Error(got)
		}
		if n := streaming(t, primary, "other"); n != "0" {
			t.Fatalf("%s walsenders stream at the primary", n)
		}
		c.close()
	}
}
