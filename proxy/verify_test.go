package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy"
)

// authQuery is the query of docs/auth.md.
const authQuery = "SELECT * FROM replproxy.auth($1)"

// documentedFunction is the one of docs/auth.md.
func documentedFunction(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- function -->\n```sql TestAuthPage\n")
	function, _, ok := strings.Cut(rest, "```\n<!-- end -->")
	if !ok || !strings.Contains(string(text), "query: "+authQuery) {
		t.Fatal("docs/auth.md has no function, or another query")
	}
	return function
}

// scramPrimary is a primary that asks everybody for SCRAM, with roles of every kind.
func scramPrimary(t *testing.T, in *pgtest.Install, hba ...string) *pgtest.Server {
	t.Helper()
	if hba == nil {
		hba = []string{"host all all all scram-sha-256"}
	}
	p := in.Primary(t, pgtest.HBA(append([]string{"local all all trust", "host all postgres all trust"}, hba...)...))
	p.Exec(t, `SET password_encryption = 'scram-sha-256';
		CREATE ROLE replproxy LOGIN PASSWORD 'own'; CREATE ROLE alice LOGIN PASSWORD 'wonder';
		CREATE ROLE locked NOLOGIN PASSWORD 'wonder'; CREATE ROLE empty LOGIN;
		CREATE ROLE expired LOGIN PASSWORD 'wonder' VALID UNTIL '2001-01-01'; CREATE ROLE early LOGIN PASSWORD 'wonder' VALID UNTIL '0044-03-15 BC';
		CREATE ROLE eternal LOGIN PASSWORD 'wonder' VALID UNTIL 'infinity';
		SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'wonder'`)
	p.Exec(t, documentedFunction(t))
	return p
}

// ask is a lookup that asks p as the proxy does, and runs.
func ask(t *testing.T, p *pgtest.Server, change func(*roles.Options)) *roles.Lookup {
	t.Helper()
	up, err := upstream.Parse(p.Conninfo("user=replproxy", "password=own", "connect_timeout=5"))
	if err != nil {
		t.Fatal(err)
	}
	o := roles.Options{Upstream: up, Query: authQuery, Dir: filepath.Join(t.TempDir(), "auth"), TTL: time.Minute, MaxAge: time.Hour,
		Shown:  func() (map[string]string, map[string]string) { return nil, nil },
		Down:   func() bool { return true }, // as soon as the questions find it so too
		Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	k, err := roles.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return k
}

// verifyAll sends everybody to Roles.
func verifyAll(t *testing.T) *access.Current {
	t.Helper()
	rules, bad := access.Parse([]string{"local all,replication all scram-sha-256", "host all,replication all all scram-sha-256"})
	if bad != nil {
		t.Fatal(bad)
	}
	k := &access.Current{}
	k.Set(access.Set{Default: access.Policy{Rules: rules, SCRAM: true}})
	return k
}

// Who may log in, in the words of the primary itself.
func TestSCRAMLogIn(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		s := scramPrimary(t, in)
		w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil)})
		for _, tc := range []struct{ user, password, code string }{
			{"alice", "wonder", ""}, {"alice", "wrong", "28P01"}, {"alice", "wonder", ""}, {"nobody", "wonder", "28P01"},
			{"locked", "wonder", "28000"}, {"locked", "wrong", "28P01"}, {"empty", "x", "28P01"}, {"expired", "wonder", "28P01"}, {"early", "wonder", "28P01"},
			{"eternal", "wonder", ""}, {"old", "wonder", "28P01"},
		} {
			words := []string{"user=" + tc.user, "password=" + tc.password, "options='-c work_mem=1234kB'", "application_name=here"}
			rows, err := pgtest.Query(t.Context(), w.conninfo(words...),
				"SELECT current_user, current_setting('work_mem'), current_setting('application_name')")
			if sqlState(err) != tc.code || (err == nil) != (tc.code == "") {
				t.Errorf("%s, %s: %v", tc.user, tc.password, err)
			}
			if err == nil && fmt.Sprint(rows) != fmt.Sprintf("[[%s 1234kB here]]", tc.user) {
				t.Errorf("%s: %v", tc.user, rows)
			}
			direct := s.Conninfo(words...)
			if tc.user == "old" {
				continue // the server would ask it for md5 only by another line
			}
			if _, there := pgtest.Query(t.Context(), direct, "SELECT 1"); sqlState(there) != tc.code ||
				err != nil && message(err) != message(there) {
				t.Errorf("%s, %s: here %v, at the primary %v", tc.user, tc.password, err, there)
			}
		}
	}, 14, 15, 18)
}

// message returns a server's message without its place in the source.
func message(err error) string {
	_, text, _ := strings.Cut(err.Error(), "FATAL: ")
	return text
}

// What changes on the primary holds at once where every log-in asks; a password that has changed within
// cache_ttl is found out by the first that does not fit.
func TestSCRAMFollowsThePrimary(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 15))
	always := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, func(o *roles.Options) { o.TTL = 0 })})
	cached := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil)})
	try := func(w *world, password string) string {
		t.Helper()
		_, err := pgtest.Query(t.Context(), w.conninfo("user=alice", "password="+password), "SELECT 1")
		if err != nil && sqlState(err) == "" {
			t.Error(err)
		}
		return sqlState(err)
	}
	if a, b := try(always, "wonder"), try(cached, "wonder"); a+b != "" {
		t.Fatal(a, b)
	}
	s.Restart(t) // the connection that was asked is dead, and that shows in the next question only
	if got := try(always, "wonder"); got != "" {
		t.Fatal(got)
	}
	s.Exec(t, "ALTER ROLE alice PASSWORD 'other'")
	if got := try(always, "wonder") + try(always, "other"); got != "28P01" {
		t.Error(got)
	}
	// The old one fits here and is refused by the primary; then it is known that something has changed.
	if got := try(cached, "wonder"); got != "28P01" {
		t.Error(got)
	}
	pgtest.WaitFor(t, patience, "the new password", func() (bool, error) { return try(cached, "other") == "", nil })
	for sql, code := range map[string]string{"ALTER ROLE alice NOLOGIN": "28000", "ALTER ROLE alice LOGIN VALID UNTIL '2001-01-01'": "28P01",
		"ALTER ROLE alice RENAME TO was_alice": "28P01"} {
		s.Exec(t, "ALTER ROLE alice LOGIN VALID UNTIL 'infinity'")
		s.Exec(t, sql)
		if got := try(always, "other"); got != code {
			t.Errorf("%s: %q", sql, got)
		}
		if strings.Contains(sql, "RENAME") {
			s.Exec(t, "ALTER ROLE was_alice RENAME TO alice")
		}
	}
}

// What is known is asked for again before it gets old, whether or not anybody logs in.
func TestRolesAreRefreshed(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 15))
	k := ask(t, s, func(o *roles.Options) { o.TTL, o.MaxAge = 0, 16*time.Second })
	if f := k.Find(t.Context(), "alice"); !f.Known || !f.Certain || !f.FromPrimary || !f.Role.Login {
		t.Fatalf("%+v", f)
	}
	if f := k.Find(t.Context(), "nobody"); f.Known || !f.Certain {
		t.Fatalf("%+v", f)
	}
	s.Exec(t, "ALTER ROLE alice NOLOGIN")
	before := k.Status().Questions
	pgtest.WaitFor(t, patience, "questions that nobody puts", func() (bool, error) { return k.Status().Questions >= before+2, nil })
	s.Stop(t, pgtest.Immediate)
	if f := k.Find(t.Context(), "alice"); !f.Known || f.Certain || f.Role.Login {
		t.Errorf("%+v", f)
	}
	if f := k.Find(t.Context(), "nobody"); f.Known || f.Certain {
		t.Errorf("%+v", f)
	}
	if st := k.Status(); st.Roles != 1 || st.Failures == 0 || st.LastError == "" {
		t.Errorf("%+v", st)
	}
}

// While the primary is down a known role proves itself as ever, and nobody learns which roles are known.
func TestSCRAMWithoutPrimary(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Minute} {
		t.Run(ttl.String(), func(t *testing.T) { scramWithoutPrimary(t, ttl) })
	}
}

func scramWithoutPrimary(t *testing.T, ttl time.Duration) {
	s := scramPrimary(t, pgtest.Need(t, 15))
	lookup := ask(t, s, func(o *roles.Options) { o.TTL = ttl })
	delay := 300 * time.Millisecond
	w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: lookup, Limits: proxy.Limits{AuthDelay: delay}})
	if _, err := pgtest.Query(t.Context(), w.conninfo("user=alice", "password=wonder"), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	pgtest.WaitFor(t, patience, "the answer to be old enough to be doubted", func() (bool, error) {
		return time.Since(lookup.Status().Asked) > time.Second, nil
	})
	s.Stop(t, pgtest.Immediate)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", w.tcp())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const first = "n,,n=,r=abc"
	guess := func(role string) string {
		began := time.Now()
		answer := odd(t, dial(), role, sasl(plain, first), p("c=biws,r=NONCE,p="+zeros))
		if took := time.Since(began); took < delay {
			t.Errorf("a guess at %s took %v", role, took)
		}
		return answer
	}
	known, unknown := guess("alice"), guess("nobody")
	if log := w.log.String(); w.Counts().Failures != 2 || strings.Count(log, "log-in failed") != 2 {
		t.Errorf("%d failures\n%s", w.Counts().Failures, log)
	}
	if known != unknown || !strings.Contains(known, `57P03 "cannot connect to the primary" "The password could not be verified`) {
		t.Errorf("known role:\n%s\nunknown role:\n%s", known, unknown)
	}
	_, err := pgtest.Query(t.Context(), w.conninfo("user=alice", "password=wonder"), "SELECT 1")
	if sqlState(err) != "57P03" || strings.Contains(fmt.Sprint(err), "could not be verified") {
		t.Errorf("right password: %v", err)
	}
	if w.Counts().Failures != 2 {
		t.Errorf("%d failures with a right password", w.Counts().Failures)
	}
}

// usersFile is auth.users_file with all roles of s that have a verifier.
func usersFile(t *testing.T, s *pgtest.Server) string {
	t.Helper()
	var users strings.Builder
	for _, row := range s.SQL(t, "SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid WHERE rolpassword LIKE 'SCRAM%'", "host="+s.SocketDir) {
		users.WriteString(row[0] + "\n")
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(users.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What the primary asks of the proxy on a client's behalf, and what of it a ClientKey is good for.
func TestSCRAMAsksAndAnswers(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 15), "host all alice all scram-sha-256", "host all eternal all md5", "host all locked all reject",
		"host all empty all trust", "host all early all password", "host all replproxy all trust")
	if _, err := pgtest.Query(t.Context(), s.SocketConninfo(), "SET password_encryption = 'scram-sha-256'; ALTER ROLE empty PASSWORD 'wonder'; "+
		"ALTER ROLE early PASSWORD 'wonder' VALID UNTIL 'infinity'; ALTER ROLE locked LOGIN; ALTER ROLE eternal PASSWORD 'wonder'"); err != nil {
		t.Fatal(err)
	}
	file := usersFile(t, s)
	byQuery := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil)})
	byFile := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, func(o *roles.Options) { o.File, o.Query = file, "" })})
	for _, tc := range []struct {
		w          *world
		unix       bool
		user, code string
		part       string
	}{
		{byQuery, false, "alice", "", ""}, {byFile, false, "alice", "", ""}, {byFile, true, "alice", "", ""},
		{byQuery, false, "eternal", "", ""}, // md5, but the password is stored for SCRAM
		{byQuery, false, "locked", "28000", "pg_hba.conf rejects connection"},
		{byQuery, false, "early", "28000", "asks for another proof"},
		{byQuery, true, "empty", "", ""},                                // trust, of a role that has proved itself by the primary's verifier
		{byFile, false, "empty", "28000", "without asking for a proof"}, // over loopback as well
		{byFile, true, "empty", "28000", "without asking for a proof"},
		{byFile, false, "nobody", "28P01", "password authentication failed"},
	} {
		host := "host=127.0.0.1"
		if tc.unix {
			host = "host=" + tc.w.host
		}
		rows, err := pgtest.Query(t.Context(), tc.w.conninfo("user="+tc.user, "password=wonder", host), "SELECT current_user")
		if sqlState(err) != tc.code || err == nil && rows[0][0] != tc.user || err != nil && !strings.Contains(err.Error(), tc.part) {
			t.Errorf("%+v: %v, %v", tc, rows, err)
		}
	}
	if strings.Contains(s.Log(), "unexpected EOF") || strings.Contains(s.Log(), "could not receive data") {
		t.Errorf("the primary complains about refused log-ins:\n%s", s.Log())
	}
	for _, w := range []*world{byQuery, byFile} {
		if log := w.log.String(); strings.Contains(log, "SCRAM-SHA-256$") || strings.Contains(log, "wonder") {
			t.Errorf("a secret in the log:\n%s", log)
		}
	}
}

// What a client wants to negotiate is fixed before the primary is asked for anything.
func TestSCRAMNegotiatesTheProtocol(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 18))
	lookup := ask(t, s, nil)
	for _, newest := range []uint16{0, 2} {
		w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: lookup, NewestMinor: func() uint16 { return newest }})
		for _, version := range []string{"3.0", "3.2", "latest"} {
			c, err := pgconn.Connect(t.Context(), w.conninfo("user=alice", "password=wonder", "min_protocol_version=3.0", "max_protocol_version="+version))
			if err != nil {
				t.Errorf("%d, %s: %v", newest, version, err)
				continue
			}
			if rows, err := pgtest.QueryConn(t.Context(), c, "SELECT 42"); err != nil || rows[0][0] != "42" {
				t.Errorf("%d, %s: %v, %v", newest, version, rows, err)
			}
			want := 4
			if newest == 2 && version != "3.0" {
				want = 32
			}
			if len(c.SecretKey()) != want {
				t.Errorf("%d, %s: a key of %d bytes", newest, version, len(c.SecretKey()))
			}
			_ = c.Close(t.Context())
		}
		c, err := net.Dial("tcp", w.tcp())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(startup(v30+9, "user", "alice", "_pq_.x", "1"))
		head := make([]byte, 100)
		if _, err := io.ReadAtLeast(c, head, 22); err != nil || head[0] != 'v' || head[8] != byte(newest) || !strings.Contains(string(head), "_pq_.x\x00R") {
			t.Errorf("%q, %v", head, err)
		}
		c.Close()
	}
}
