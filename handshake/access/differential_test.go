package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/internal/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	ruleSets    = 12
	connections = 40 // of each set
	ioTimeout   = 30 * time.Second
)

// attempt is one connection.
type attempt struct {
	user, database string
	physical       bool // replication=true
	logical        bool // replication=database
	source         string
	unix, tls      bool
}

// TestAsPostgreSQL: random rules in pg_hba.conf and here, random connections to a real server and to the
// decision: the same method or the same refusal, to the letter.
func TestAsPostgreSQL(t *testing.T) {
	for _, major := range []int{14, 15, 17, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			ca := pgtest.NewAuthority(t, "ca")
			cert := ca.Issue(t, pkix.Name{CommonName: "server"}, "127.0.0.1")
			s := pgtest.Need(t, major).Primary(t, pgtest.Settings("ssl = on", "ssl_ca_file = '"+ca.File+"'",
				"ssl_cert_file = '"+cert.CertFile+"'", "ssl_key_file = '"+cert.KeyFile+"'", "log_min_messages = panic"))
			r := rand.New(rand.NewPCG(uint64(major), 1))
			outcomes := map[string]int{}
			for set := range ruleSets {
				lines := randomRules(r, major)
				rules, err := access.Parse(lines)
				if err != nil {
					t.Fatal(err)
				}
				install(t, s, set, lines)
				for range connections {
					a := randomAttempt(r)
					got, outcome := decide(rules, a)
					got, _, _ = strings.Cut(got, "These are replproxy's own rules") // the rest is PostgreSQL's
					want := ask(t, s, a)
					if outcomes[outcome]++; got != want {
						t.Fatalf("%+v by\n%s\ngot  %s\nwant %s", a, strings.Join(lines, "\n"), got, want)
					}
				}
			}
			for _, o := range []string{"reject by rule", "reject", "trust", "scram-sha-256"} {
				if outcomes[o] < 20 {
					t.Errorf("only %d of %q: %v", outcomes[o], o, outcomes)
				}
			}
		})
	}
}

func pick(r *rand.Rand, all ...string) string { return all[r.IntN(len(all))] }

func randomRules(r *rand.Rand, major int) []string {
	databases := []string{"all", "all", "sameuser", "replication", `"all"`, `"replication"`, "app", "alice", `"a,b"`, `"q""x"`,
		"app,replication", `app, bob`, `sameuser,,app`, `a"p"p`, "All"}
	users := []string{"all", "all", `"all"`, "alice", "bob", `alice,"all"`, `"a b"`, "Alice"}
	if major >= 16 {
		databases = append(databases, "/^a", `"/^(a,b|bob)$"`, "/^.{3}$", `"/^\w,"`, "/^re[[:alpha:]]+n$")
		users = append(users, "/b", "/^al.*[^x]$", `"/^a\sb$"`)
	}
	addresses := []string{"all", "127.0.0.0/8", "127.0.0.0/30", "127.0.0.9/32", "127.0.0.0 255.0.0.1", "127.0.0.2 255.255.255.255",
		"samehost", "samenet", "::/0", "0.0.0.0/0", "10.0.0.0/8", "127.0.0.7/29"}
	lines := []string{}
	for range 4 + r.IntN(16) {
		kind := pick(r, "local", "host", "host", "hostssl", "hostnossl", "hostnogssenc")
		words := []string{kind, pick(r, databases...), pick(r, users...)}
		if kind != "local" {
			words = append(words, pick(r, addresses...))
		}
		line := strings.Join(append(words, pick(r, "trust", "reject", "scram-sha-256")), pick(r, " ", "\t", "  "))
		lines = append(lines, line+pick(r, "", " # and so on", "#"))
	}
	return lines
}

func randomAttempt(r *rand.Rand) attempt {
	a := attempt{
		user:     pick(r, "alice", "bob", "all", "a b", "Alice"),
		database: pick(r, "app", "alice", "bob", "all", "replication", "a,b", `q"x`, "abc", "All", ""),
		source:   pick(r, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"),
	}
	switch r.IntN(4) {
	case 0:
		a.physical = true
	case 1:
		a.logical = true
	}
	a.unix = r.IntN(4) == 0
	a.tls = !a.unix && r.IntN(2) == 0
	return a
}

// install makes the rules those of the server and waits until a connection shows that they are.
func install(t *testing.T, s *pgtest.Server, set int, lines []string) {
	t.Helper()
	marker := "marker" + strconv.Itoa(set)
	path := filepath.Join(s.Dir, "pg_hba.conf")
	content := "local " + marker + " all reject\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload()
	pgtest.WaitFor(t, time.Minute, "pg_hba.conf to be read", func() (bool, error) {
		return strings.Contains(ask(t, s, attempt{user: "x", database: marker, unix: true}), "rejects connection"), nil
	})
}

// dial connects as the attempt says, TLS included.
func dial(t *testing.T, s *pgtest.Server, a attempt) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ioTimeout)
	defer cancel()
	d, network, addr := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.source)}}, "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)
	if a.unix {
		d.LocalAddr, network, addr = nil, "unix", filepath.Join(s.SocketDir, fmt.Sprintf(".s.PGSQL.%d", s.Port))
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(ioTimeout))
	if !a.tls {
		return c
	}
	answer := make([]byte, 1)
	_, err = c.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
	if err == nil {
		_, err = io.ReadFull(c, answer)
	}
	if err != nil || answer[0] != 'S' {
		t.Fatalf("SSLRequest: %q, %v", answer, err)
	}
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	return secure
}

func (a attempt) client() net.Addr {
	if a.unix {
		return &net.UnixAddr{Net: "unix"}
	}
	return &net.TCPAddr{IP: net.ParseIP(a.source), Port: 5}
}

func (a attempt) params() handshake.Params {
	p := handshake.Params{{Name: "user", Value: a.user}}
	if a.database != "" {
		p = append(p, handshake.Param{Name: "database", Value: a.database})
	}
	switch {
	case a.physical:
		p = append(p, handshake.Param{Name: "replication", Value: "true"})
	case a.logical:
		p = append(p, handshake.Param{Name: "replication", Value: "database"})
	}
	return p
}

// ask returns the server's first answer: the method, or the refusal.
func ask(t *testing.T, s *pgtest.Server, a attempt) string {
	t.Helper()
	c := dial(t, s, a)
	defer c.Close()
	packet := []byte{0, 0, 0, 0, 0, 3, 0, 0}
	for _, p := range a.params() {
		packet = append(packet, p.Name+"\x00"+p.Value+"\x00"...)
	}
	packet = append(packet, 0)
	binary.BigEndian.PutUint32(packet, uint32(len(packet)))
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(c, 1024)
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.Body(h.Size, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if h.Type == 'R' {
		return map[uint32]string{0: "trust", 10: "scram-sha-256"}[binary.BigEndian.Uint32(body)]
	}
	e, ok := wire.ParseError(body)
	if !ok {
		t.Fatalf("%c %q", h.Type, body)
	}
	return text(e)
}

func text(e *pgerror.Error) string {
	return fmt.Sprint(e.Severity, " ", e.Code, " ", e.Message, " ", e.Detail, " ", e.Hint)
}

// decide returns the rules' answer to such a connection; outcome is its kind.
func decide(rules *access.Rules, a attempt) (said, outcome string) {
	class := handshake.Regular
	switch {
	case a.physical:
		class = handshake.PhysicalWalsender
	case a.logical:
		class = handshake.LogicalWalsender
	}
	facts := access.FactsOf(&handshake.Request{Class: class, Params: a.params(), Conn: end{addr: a.client()}})
	facts.TLS = a.tls
	d := access.Policy{Rules: rules}.Decide(facts)
	if d.Refusal != nil {
		outcome = "reject"
		if d.Rule > 0 {
			outcome = "reject by rule"
		}
		return text(d.Refusal), outcome
	}
	return d.Method.String(), d.Method.String()
}

// end is a connection that is asked for its address only.
type end struct {
	net.Conn
	addr net.Addr
}

func (e end) RemoteAddr() net.Addr { return e.addr }
