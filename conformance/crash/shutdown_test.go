package crash

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// stopFast stops a primary, in time, and returns where its shutdown checkpoint begins and how many keepalives
// and status updates that took on the meter.
func stopFast(t *testing.T, primary *pgtest.Server, m *scene.Meter) (checkpoint lsn.LSN, messages int64) {
	t.Helper()
	before, began := m.Keepalives.Load()+m.Replies.Load(), time.Now()
	primary.Stop(t, pgtest.Fast)
	took := time.Since(began)
	if took > scene.ShutdownTime {
		t.Errorf("the primary took %v to stop", took)
	}
	messages = m.Keepalives.Load() + m.Replies.Load() - before
	t.Logf("stopped within %v, with %d keepalives and status updates", took.Round(time.Millisecond), messages)
	control := primary.Install.RunTool(t, primary.SocketDir, "pg_controldata", primary.Dir)
	if !regexp.MustCompile(`(?m)^Database cluster state: +shut down$`).MatchString(control) {
		t.Errorf("not a clean shutdown:\n%s", control)
	}
	at := regexp.MustCompile(`(?m)^Latest checkpoint location: +(\S+)$`).FindStringSubmatch(control)
	if at == nil {
		t.Fatalf("no checkpoint in\n%s", control)
	}
	checkpoint, err := lsn.Parse(at[1])
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint, messages
}

// A primary's fast shutdown with all, one and none of the standbys attached to the proxy. It completes as promptly and
// as quietly as with a standby of its own, and its shutdown checkpoint reaches every standby. So a standby behind the
// proxy can take over, and the old primary comes back behind the proxy, without a rewind.
func TestPrimaryFastShutdown(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
	c := &scene.Cluster{In: in, Primary: in.Primary(t, settings)}
	m := scene.StartMeter(t, c.Primary.Port)
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary, PrimaryConninfo: m.Conninfo()}, settings,
		pgtest.Name("candidate"))
	c.Primary.Exec(t, scene.LoadTable)
	scene.Write(t, c.Primary, 20)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	_, direct := stopFast(t, c.Primary, m)
	c.Primary.Start(t)

	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres sslmode=disable", m.Port, c.Candidate.Port),
	})
	c.Candidate.Set(t, fmt.Sprintf("primary_conninfo = '%s'", c.Proxy.Conninfo()))
	c.Candidate.Reload()
	standbys := []*pgtest.Server{c.Candidate, c.Standby(t, "one"), c.Standby(t, "two")}
	shutdown := func(t *testing.T, attached ...*pgtest.Server) {
		scene.Write(t, c.Primary, 20)
		c.Follows(t, c.Primary, 1, attached...)
		pgtest.WaitStreaming(t, c.Primary, 1)
		checkpoint, messages := stopFast(t, c.Primary, m)
		// A storm has a message each 50 µs as long as it lasts (facts E7).
		if limit := 10*direct + 100; messages > limit {
			t.Errorf("%d keepalives and status updates, %d with a direct standby", messages, direct)
		}
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the checkpoint in the store", func() (bool, error) {
			return scene.Status(t, c.Proxy).Store.Flushed > checkpoint, nil
		})
		for _, s := range attached {
			s.WaitReplay(t, checkpoint+1)
		}
	}
	for n := len(standbys); n >= 0; n-- {
		if n < len(standbys) {
			standbys[n].Stop(t, pgtest.Fast)
		}
		if n == 2 {
			continue
		}
		t.Run(fmt.Sprintf("%d attached", n), func(t *testing.T) { shutdown(t, standbys[:n]...) })
		c.Primary.Start(t)
	}
	for _, s := range standbys {
		s.Start(t)
	}
	shutdown(t, standbys...)
	c.Candidate.Promote(t)
	scene.Write(t, c.Candidate, 20)
	c.Follows(t, c.Candidate, 2, standbys[1:]...)
	c.Primary.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: c.Proxy.Conninfo()})
	c.Primary.Start(t)
	scene.Write(t, c.Candidate, 20)
	c.Follows(t, c.Candidate, 2, append(standbys[1:], c.Primary)...)
}

// The proxy's own SIGTERM, in PostgreSQL's order: a session in a transaction ends it, and one that goes on and on is
// cut off in the end. The stream from the primary flows meanwhile. All that was acknowledged to those sessions reaches
// the standbys before they are told that this is the end.
func TestProxyStopsInOrder(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in)
	s.Primary.Exec(t, scene.LoadTable)
	standby := s.Standby(t, "standby", "")
	dir, walsenders := in.TempDir(t), []string{"standby"}
	var archive *scene.Background
	if in.HasReceiveWAL() {
		archive = scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "-d", s.Proxy.Conninfo(), "--no-loop")
		walsenders = append(walsenders, "pg_receivewal")
	}
	scene.Attached(t, s.Proxy, walsenders...)
	s.Primary.Set(t, "synchronous_standby_names = 'proxy'")
	s.Primary.Reload()
	ledger := scene.StartLedger(t, s.Primary, map[string]string{"guest": s.Proxy.Conninfo()})
	ledger.WaitProgress(t, 20)
	session := pgtest.Connect(t, s.Proxy.Conninfo())
	sql := func(text string) string {
		rows, err := pgtest.QueryConn(t.Context(), session, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(rows) == 1 {
			return rows[0][0]
		}
		return ""
	}
	sql("BEGIN; INSERT INTO load (pad) VALUES ('before')")

	s.Proxy.Signal(syscall.SIGTERM)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to stop listening", func() (bool, error) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Proxy.Port))
		if err == nil {
			conn.Close()
		}
		return err != nil, nil
	})
	sql("INSERT INTO load (pad) VALUES ('after')")
	sql("COMMIT") // which waits for the proxy's report
	at, err := lsn.Parse(sql("SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	if code := s.Proxy.WaitExit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.Primary.Set(t, "synchronous_standby_names = ''")
	s.Primary.Reload()
	if acked := ledger.Stop(); acked < 20 {
		t.Errorf("%d rows acknowledged", acked)
	}

	standby.WaitReplay(t, scene.ParseLSN(t, standby.Scalar(t, "SELECT pg_last_wal_receive_lsn()")))
	ledger.Verify(t, standby)
	if n := standby.Scalar(t, "SELECT count(*) FROM load"); n != "2" {
		t.Errorf("the standby has %s rows of the transaction", n)
	}
	scene.Logged(t, "the standby", standby.Log, "replication terminated by primary server")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary's walsender to have heard of "+at.String(), func() (bool, error) {
		return scene.ParseLSN(t, s.Primary.QueryRow(t, scene.RealSlot+"replproxy_proxy'")[1]) >= at, nil
	})
	if archive == nil {
		return
	}
	if err := <-archive.Done; err == nil || !strings.Contains(archive.Out.String(), "replication stream was terminated before stop point") {
		t.Errorf("pg_receivewal: %v, %s", err, &archive.Out)
	}
	archive.Done <- nil
	compareUnfinished(t, s, dir, at)
}

// compareUnfinished compares the files of a pg_receivewal that has ended, .partial or not, with the primary's.
func compareUnfinished(t *testing.T, s *scene.Site, dir string, upTo lsn.LSN) {
	t.Helper()
	partial, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	if err != nil || len(partial) != 1 {
		t.Fatalf("unfinished segments: %v, %v", partial, err)
	}
	if err := os.Rename(partial[0], strings.TrimSuffix(partial[0], ".partial")); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.EqualSegments(t, s.Primary.SegSize(t), upTo, dir, s.Primary.WALDir()); n == 0 {
		t.Error("no segment was compared")
	}
}

// A walsender of the proxy ends, when the proxy does, with the messages of one whose server shuts down.
func TestLastWordsOfAWalsender(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		s.Primary.Exec(t, scene.LoadTable)
		s.Verify(t)
		real := lastWords(t, s.Primary.Conninfo("replication=true"), func() { s.Primary.Stop(t, pgtest.Fast) })
		s.Primary.Start(t)
		s.Primary.Exec(t, "INSERT INTO load (pad) VALUES ('more')")
		s.Verify(t)
		if !strings.HasPrefix(real, "*pgproto3.CopyBothResponse") || !strings.HasSuffix(real, ", CommandComplete COPY 0, end") {
			t.Errorf("PostgreSQL's words are not what facts E6 says: %q", real)
		}
		if got := lastWords(t, s.Proxy.Conninfo("replication=true"), func() { s.Proxy.Terminate(t) }); got != real {
			t.Errorf("the proxy ends with %q, PostgreSQL with %q", got, real)
		}
	}, 15, 18)
}

// lastWords streams, confirming everything at once, calls stop when WAL has come, and returns the messages
// that are neither WAL nor keepalives.
func lastWords(t *testing.T, conninfo string, stop func()) string {
	t.Helper()
	conn := pgtest.Connect(t, conninfo)
	rows, err := pgtest.QueryConn(t.Context(), conn, "IDENTIFY_SYSTEM")
	if err != nil {
		t.Fatal(err)
	}
	start := scene.ParseLSN(t, rows[0][2]) &^ (16<<20 - 1)
	began, words := make(chan struct{}), make(chan string, 1)
	go func() { words <- stream(conn.Frontend(), start, began) }()
	<-began
	stop()
	return <-words
}

func stream(frontend *pgproto3.Frontend, start lsn.LSN, began chan<- struct{}) string {
	var words []string
	var end lsn.LSN
	begin := func() {
		if began != nil {
			close(began)
			began = nil
		}
	}
	defer begin()
	frontend.Send(&pgproto3.Query{String: "START_REPLICATION " + start.String() + " TIMELINE 1"})
	for {
		_ = frontend.Flush() // fails when the server has closed; what it said before can still be read
		message, err := frontend.Receive()
		if err != nil { // an end or, when our last update was not read, a reset
			return strings.Join(append(words, "end"), ", ")
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			if wal, err := copyboth.DecodeXLogData(m.Data); err == nil {
				end = wal.Start + lsn.LSN(len(wal.Data))
				begin()
			}
			update := copyboth.StatusUpdate{Progress: lsn.Progress{Write: end, Flush: end}, SentAt: copyboth.TimeOf(time.Now())}
			frontend.Send(&pgproto3.CopyData{Data: update.Append(nil)})
		case *pgproto3.CommandComplete:
			words = append(words, fmt.Sprintf("CommandComplete %s", m.CommandTag))
		case *pgproto3.ErrorResponse:
			words = append(words, fmt.Sprintf("ErrorResponse %s %s", m.Code, m.Message))
		default:
			words = append(words, fmt.Sprintf("%T", message))
		}
	}
}
