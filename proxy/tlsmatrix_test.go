package proxy_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

// cell is one way to connect: auth.method, method, channel_binding, tls.mode, sslmode, upstream.
type cell [6]string

// matrixRow is a line of the table in docs/tls.md.
type matrixRow struct {
	match   [6][]string // nil: any
	outcome string
	used    bool
}

func readMatrix(t *testing.T) []*matrixRow {
	t.Helper()
	text, err := os.ReadFile("../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- matrix -->\n")
	table, _, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatal("docs/tls.md has no table")
	}
	var rows []*matrixRow
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		fields := strings.Split(strings.Trim(line, "|"), "|")
		if len(fields) != 7 {
			t.Fatalf("line %q", line)
		}
		r := &matrixRow{outcome: strings.TrimSpace(fields[6])}
		for i := range r.match {
			if words := strings.Split(strings.ReplaceAll(fields[i], " ", ""), ","); words[0] != "any" {
				r.match[i] = words
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func expected(t *testing.T, rows []*matrixRow, c cell) string {
	for _, r := range rows {
		all := true
		for i, word := range c {
			all = all && (r.match[i] == nil || slices.Contains(r.match[i], word))
		}
		if all {
			r.used = true
			return r.outcome
		}
	}
	t.Fatalf("%v: no line of docs/tls.md", c)
	return ""
}

// tlsPrimary is a primary with TLS on which the user's name is the method.
func tlsPrimary(t *testing.T, major int, c *pgtest.Certificate) *pgtest.Server {
	t.Helper()
	p := pgtest.Need(t, major).Primary(t, pgtest.HBA("host all trust all trust", "host all password all password",
		"host all md5 all md5", "host all scram all scram-sha-256",
		"host all replproxy all trust"), pgtest.Stopped())
	p.TLS(t, c)
	p.Start(t)
	for _, method := range []string{"trust", "password", "md5", "scram"} {
		encryption := "scram-sha-256"
		if method == "md5" {
			encryption = method
		}
		if _, err := pgtest.Query(t.Context(), p.SocketConninfo(),
			fmt.Sprintf("SET password_encryption = '%s'; CREATE ROLE %s LOGIN PASSWORD 'secret'", encryption, method)); err != nil {
			t.Fatal(err)
		}
	}
	p.Exec(t, "CREATE ROLE replproxy LOGIN", "host="+p.SocketDir)
	p.Exec(t, documentedFunction(t), "host="+p.SocketDir)
	return p
}

// upstreamDialer makes a dialer of a conninfo, as cmd/replproxy does.
func upstreamDialer(t *testing.T, conninfo string) proxy.Dialer {
	t.Helper()
	up, err := upstream.Parse(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	return proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
		raw, err := up.DialPrimary(ctx, 0)
		if err != nil {
			return nil, err
		}
		return &relay.Upstream{Conn: raw.Conn, TLS: raw.TLS, Name: raw.Endpoint.String(), ChannelBinding: up.ChannelBinding(),
			Cancel: func(ctx context.Context, request []byte) error {
				return up.Cancel(ctx, raw.Endpoint, request)
			}}, nil
	})
}

func tlsFiles(t *testing.T, c *pgtest.Certificate, change func(*clienttls.Settings)) *clienttls.Reloader {
	t.Helper()
	cert, key := c.Files(t)
	s := clienttls.Settings{Mode: clienttls.Allow, CertFile: cert, KeyFile: key,
		ClientCert: clienttls.Optional, ClientName: clienttls.CN}
	if change != nil {
		change(&s)
	}
	k, err := clienttls.New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestTLSMatrix: what docs/tls.md promises for each combination is what psql meets.
func TestTLSMatrix(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		rows := readMatrix(t)
		authority := pgtest.NewAuthority(t, "authority")
		ofPrimary := authority.Issue(t, pkix.Name{CommonName: "primary"}, "127.0.0.1")
		ofProxy := authority.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
		primary := tlsPrimary(t, in.Major, ofPrimary)
		verifiers := ask(t, primary, nil)
		tools, dir := pgtest.Need(t, 15), in.TempDir(t)
		methods, bindings := []string{"trust", "password", "md5", "scram"}, []string{"disable", "prefer", "require"}
		if in.Major != 15 {
			methods, bindings = methods[3:], bindings[1:]
		}
		var g errgroup.Group
		g.SetLimit(4)
		for _, leg := range []string{"plain", "TLS", "same"} {
			mode := map[bool]string{true: "disable", false: "verify-full"}[leg == "plain"]
			up := upstreamDialer(t, primary.Conninfo("sslmode="+mode, "sslrootcert="+authority.File))
			for _, tlsMode := range []string{"off", "allow", "require"} {
				cert := ofProxy
				if leg == "same" {
					cert = ofPrimary
				}
				secure := tlsFiles(t, cert, func(s *clienttls.Settings) { s.Mode = tlsMode })
				relayed := start(t, proxy.Options{Upstream: up, TLS: secure})
				verified := start(t, proxy.Options{Upstream: up, TLS: secure, Roles: verifiers})
				for _, method := range methods {
					for _, binding := range bindings {
						if method != "scram" && (binding == "disable" || leg == "same") {
							continue // as prefer, and as TLS
						}
						for _, sslmode := range []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
							if method != "scram" && (sslmode == "require" || sslmode == "verify-ca") {
								continue // as verify-full
							}
							for auth, w := range map[string]*world{"relay": relayed, "scram": verified} {
								if auth == "scram" && leg == "same" {
									continue // as TLS
								}
								c := cell{auth, method, binding, tlsMode, sslmode, leg}
								want := expected(t, rows, c)
								g.Go(func() error {
									cmd := tools.Tool(t, dir, "psql", "-XAt", "-d", w.conninfo("user="+method, "password=secret",
										"sslmode="+sslmode, "channel_binding="+binding, "sslrootcert="+authority.File),
										"-c", `\conninfo`, "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
									out, err := cmd.CombinedOutput()
									if problem := compare(c, want, string(out), err); problem != "" {
										t.Errorf("%v: want %s: %s\n%s", c, want, problem, out)
									}
									return nil
								})
							}
						}
					}
				}
			}
		}
		_ = g.Wait()
		for _, r := range rows {
			if !r.used && in.Major == 15 {
				t.Errorf("line without a cell: %+v", r)
			}
		}
	}, 15, 17, 18)
}

// compare says how an outcome differs from what is wanted, "" if it does not.
func compare(c cell, want, out string, err error) string {
	refusal, text, refused := strings.Cut(want, ": ")
	if refused != (err != nil) {
		return fmt.Sprint("ended with ", err)
	}
	if refused {
		// libpq tries again without TLS, or with it, and tells of both attempts.
		attempts := strings.Split(out, "connection to server")
		last := attempts[len(attempts)-1]
		for _, attempt := range attempts {
			if strings.Contains(attempt, text) && strings.Contains(attempt, "FATAL") == (refusal != "libpq") &&
				(refusal != "libpq" || attempt == last) {
				return ""
			}
		}
		return "another refusal"
	}
	upstreamTLS := map[bool]string{true: "t\n", false: "f\n"}[c[5] != "plain"]
	if strings.Contains(out, "SSL connection (protocol: TLSv1.") != (want == "TLS") || !strings.HasSuffix(out, "\n"+upstreamTLS) {
		return "other legs"
	}
	return ""
}
