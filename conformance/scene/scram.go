package scene

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
)

// AuthFunction returns the function of docs/auth.md that reads verifiers.
func AuthFunction(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- function -->\n```sql TestAuthPage\n")
	function, _, ok := strings.Cut(rest, "```\n<!-- end -->")
	if !ok {
		t.Fatal("docs/auth.md has no function")
	}
	return function
}

// ScramSite is a primary and a proxy that verifies, with TLS and two certificates; every client binds to the
// channel, and so does the proxy.
type ScramSite struct {
	*Site
	Words []string // of libpq, for clients
	File  string
}

func NewSCRAMSite(t *testing.T, in *pgtest.Install, access string) *ScramSite {
	t.Helper()
	a := pgtest.NewAuthority(t, "authority")
	ofPrimary := a.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1")
	ofProxy := a.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
	primary := in.Primary(t, pgtest.HBA(
		"hostssl all replproxy all scram-sha-256", "hostssl replication replproxy all scram-sha-256",
		"hostssl all app all scram-sha-256", "hostssl replication app all scram-sha-256",
		"host all postgres all trust", "host replication postgres all trust",
	), pgtest.Settings("wal_keep_size = 2GB", "ssl = on",
		"ssl_cert_file = '"+ofPrimary.CertFile+"'", "ssl_key_file = '"+ofPrimary.KeyFile+"'"))
	primary.Exec(t, "SET password_encryption = 'scram-sha-256'; "+
		"CREATE ROLE replproxy LOGIN REPLICATION PASSWORD 'own' IN ROLE pg_monitor; "+
		"CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret'")
	primary.Exec(t, "CREATE DATABASE app OWNER app")
	primary.Exec(t, AuthFunction(t))
	secure := []string{"sslmode=verify-full", "sslrootcert=" + a.File, "channel_binding=require"}
	s := &ScramSite{Words: append([]string{"user=app", "password=secret"}, secure...)}
	s.File = fmt.Sprintf("upstream: {conninfo: %q}\ntls: {mode: require, cert_file: %s, key_file: %s}\n"+
		"auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)', cache_ttl: 200ms}\n%s",
		primary.Conninfo(append([]string{"user=replproxy", "password=own"}, secure...)...),
		ofProxy.CertFile, ofProxy.KeyFile, access)
	s.Site = &Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Config: s.File})}
	return s
}

func (s *ScramSite) Through(words ...string) string {
	return s.Proxy.Conninfo(append(append([]string(nil), s.Words...), words...)...)
}

// Refusal returns the error that a physical walsender which asks sql gets; "" if it is answered.
func (s *ScramSite) Refusal(t *testing.T, sql string, words ...string) string {
	t.Helper()
	_, err := pgtest.Query(t.Context(), s.Through(append([]string{"replication=true"}, words...)...), sql)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code + " " + e.Message
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}
