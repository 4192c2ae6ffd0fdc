package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// tlsPeer is a server that has a certificate, or none, lets everybody in and says who came.
func tlsPeer(t *testing.T, cert *pgtest.Certificate, came func(tls.ConnectionState)) int {
	return peer(t, func(c net.Conn) {
		body := readStartup(c)
		if len(body) == 4 { // SSLRequest
			if cert == nil {
				c.Write([]byte{'N'})
				body = readStartup(c)
			} else {
				c.Write([]byte{'S'})
				secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert.Pair},
					NextProtos: []string{alpn}, ClientAuth: tls.RequestClientCert})
				if secure.Handshake() != nil {
					return
				}
				if came != nil {
					came(secure.ConnectionState())
				}
				c, body = secure, readStartup(secure)
			}
		}
		if body == nil || bytes.HasPrefix(body, []byte{0x04, 0xd2, 0x16, 0x2e}) { // CancelRequest
			return
		}
		c.Write(welcome(map[string]string{"in_hot_standby": "off"}))
		c.Read(make([]byte, 100))
	})
}

// TestSSLModes is libpq's table of sslmode against servers with a good certificate, one for another
// host, one of a stranger, and none.
func TestSSLModes(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	known, stranger := pgtest.NewAuthority(t, "known"), pgtest.NewAuthority(t, "stranger")
	ports := map[string]int{
		"good":     tlsPeer(t, known.Issue(t, pkix.Name{}, "127.0.0.1"), nil),
		"host":     tlsPeer(t, known.Issue(t, pkix.Name{}, "db.example"), nil),
		"stranger": tlsPeer(t, stranger.Issue(t, pkix.Name{}, "127.0.0.1"), nil),
		"none":     tlsPeer(t, nil, nil),
	}
	root := " sslrootcert=" + known.File
	for _, tc := range []struct{ words, server, want string }{
		{"sslmode=disable", "good", "plain"}, {"sslmode=disable" + root, "stranger", "plain"},
		{"sslmode=allow", "good", "plain"}, {"sslmode=allow", "none", "plain"},
		{"", "good", "TLS"}, {"", "none", "plain"}, {"sslmode=prefer" + root, "stranger", "TLS"},
		{"sslmode=require", "good", "TLS"}, {"sslmode=require", "stranger", "TLS"},
		{"sslmode=require", "none", "does not support TLS"},
		{"sslmode=require" + root, "good", "TLS"}, {"sslmode=require" + root, "host", "TLS"},
		{"sslmode=require" + root, "stranger", "certificate signed by unknown authority"},
		{"sslmode=verify-ca" + root, "good", "TLS"}, {"sslmode=verify-ca" + root, "host", "TLS"},
		{"sslmode=verify-ca" + root, "stranger", "certificate signed by unknown authority"},
		{"sslmode=verify-ca" + root, "none", "does not support TLS"},
		{"sslmode=verify-full" + root, "good", "TLS"}, {"sslmode=verify-full" + root, "host", "127.0.0.1"},
		{"sslmode=verify-full" + root, "stranger", "certificate signed by unknown authority"},
		{"sslmode=verify-full" + root, "none", "does not support TLS"},
		{"sslrootcert=system", "good", "certificate signed by unknown authority"},
		{"sslmode=require ssl_min_protocol_version=TLSv1.3", "good", "TLS"},
		{"sslmode=require ssl_max_protocol_version=TLSv1.2", "good", "TLS"},
	} {
		c, err := Parse(conninfoFor(ports[tc.server], tc.words))
		if err != nil {
			t.Errorf("%s: %v", tc.words, err)
			continue
		}
		raw, err := c.DialRaw(t.Context())
		got := fmt.Sprint(err)
		if err == nil {
			got = map[bool]string{true: "TLS", false: "plain"}[raw.TLS]
			raw.Close()
		}
		s, err := c.Connect(t.Context(), nil)
		login := fmt.Sprint(err)
		if err == nil {
			_, secure := s.Conn.(*tls.Conn)
			login = map[bool]string{true: "TLS", false: "plain"}[secure]
			s.Close()
		}
		noTLS := strings.Contains(tc.want, "does not support TLS") // the library has its own words
		if !strings.Contains(got, tc.want) || !strings.Contains(login, tc.want) && !(noTLS && strings.Contains(login, "refused TLS")) {
			t.Errorf("%q, %s: a client's leg: %s; our log-in: %s; want %s", tc.words, tc.server, got, login, tc.want)
		}
	}
}

// TestTLSRules checks the TLS keywords that libpq refuses before it connects, and the files that it finds in
// ~/.postgresql.
func TestTLSRules(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	a := pgtest.NewAuthority(t, "a")
	cert, key := a.Issue(t, pkix.Name{CommonName: "app"}).Files(t)
	refused := func(words, want string) {
		t.Helper()
		_, err := Parse(conninfoFor(1, words))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
	weak := `" may not be used with ss`
	for _, mode := range []string{"disable", "allow", "prefer"} {
		refused("sslmode="+mode+" sslrootcert=system", `weak sslmode "`+mode+weak+"lrootcert=system")
		refused("sslmode="+mode+" sslnegotiation=direct", `weak sslmode "`+mode+weak+"lnegotiation=direct")
	}
	refused("sslnegotiation=direct", `weak sslmode "prefer`)
	refused("sslnegotiation=direct sslmode=require", "")
	refused("sslrootcert=system", "")
	for _, mode := range []string{"verify-ca", "verify-full"} {
		refused("sslmode="+mode, filepath.Join(home, ".postgresql", "root.crt")+`" does not exist`)
		refused("sslmode="+mode+" sslrootcert="+a.File, "")
		if _, err := Parse("host=/tmp sslmode=" + mode); err != nil {
			t.Errorf("%s over a unix socket: %v", mode, err)
		}
	}
	refused("sslcert="+cert+" sslkey="+key, "")
	absent := filepath.Join(home, "absent")
	refused("sslcert="+absent, "") // as libpq: the server decides
	refused("sslcert="+absent+" sslkey="+absent, "")
	refused("sslcert="+filepath.Join(cert, "below"), "")
	refused("sslkey="+absent, "")
	refused("sslcert="+cert+" sslkey="+absent, "certificate present, but not private key file")
	refused("sslcrl="+absent, "could not load certificate revocation list file") // libpq goes on without
	refused("sslcrldir="+absent, "could not load certificate revocation list directory")
	refused("sslcert="+cert, filepath.Join(home, ".postgresql", "postgresql.key"))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refused("sslcert="+cert+" sslkey="+key, "has group or world access")
	refused("sslcertmode=disable sslcert="+cert+" sslkey="+key, "")
	refused("sslmode=disable sslcert="+cert+" sslkey="+key, "")

	dir := filepath.Join(home, ".postgresql")
	copyTo := func(name, from string, mode os.FileMode) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	copyTo("root.crt", a.File, 0o644)
	refused("sslmode=verify-full", "")
	copyTo("postgresql.crt", cert, 0o644)
	refused("sslmode=prefer", "certificate present, but not private key file")
	copyTo("postgresql.key", key, 0o604)
	refused("sslmode=prefer", "has group or world access")
	refused("sslmode=prefer sslcertmode=disable", "")
	copyTo("root.crl", cert, 0o644)
	refused("sslmode=verify-full sslcertmode=disable", "certificate revocation list")
}

// TestHomeOfSomebodyElse: a daemon that was started with sudo or setpriv has the home of another user, which it may not
// read. As with libpq only a server that asks for a certificate lets it feel that, and a file that conninfo names
// is an error at once. A link to itself is as unreadable as root's home, for root as well.
func TestHomeOfSomebodyElse(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.Symlink(".postgresql", filepath.Join(home, ".postgresql")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".pgpass", filepath.Join(home, ".pgpass")); err != nil {
		t.Fatal(err)
	}
	if c, err := Parse(conninfoFor(1, "")); err != nil || c.Passfile() != "" {
		t.Errorf("a password file that nobody can look at: %v", err)
	}
	a := pgtest.NewAuthority(t, "a")
	asks := tlsPeer(t, a.Issue(t, pkix.Name{}, "127.0.0.1"), nil)
	plain := tlsPeer(t, nil, nil)
	for _, tc := range []struct {
		port        int
		words, want string
	}{
		{plain, "", ""}, {plain, "sslmode=disable", ""}, {asks, "sslmode=disable", ""}, {asks, "", ""}, // prefer: in clear
		{asks, "sslmode=require sslcertmode=disable", ""},
		{asks, "sslmode=require", "could not open certificate file"},
		{plain, "sslcert=" + filepath.Join(home, ".postgresql", "own.crt"), "could not open certificate file"},
	} {
		c, err := Parse(conninfoFor(tc.port, tc.words))
		if err == nil {
			var s *Session
			if s, err = c.Connect(t.Context(), nil); err == nil {
				s.Close()
			}
		}
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%q: %v, want %q", tc.words, err, tc.want)
		}
	}
}

// TestOwnCertificate: it is read for each log-in, shown whatever the server asks for, and never on a
// client's leg (ruling R1).
func TestOwnCertificate(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	a := pgtest.NewAuthority(t, "a")
	seen := make(chan string, 10)
	port := tlsPeer(t, a.Issue(t, pkix.Name{}, "127.0.0.1"), func(st tls.ConnectionState) {
		name := ""
		if len(st.PeerCertificates) > 0 {
			name = st.PeerCertificates[0].Subject.CommonName
		}
		seen <- name
	})
	first, second := a.Issue(t, pkix.Name{CommonName: "first"}), a.Issue(t, pkix.Name{CommonName: "second"})
	cert, key := first.Files(t)
	c, err := Parse(conninfoFor(port, "sslmode=require sslcert="+cert+" sslkey="+key))
	if err != nil {
		t.Fatal(err)
	}
	login := func(want string) {
		t.Helper()
		s, err := c.Connect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := <-seen; got != want {
			t.Errorf("shown: %q, want %q", got, want)
		}
	}
	login("first")
	for path, content := range map[string][]byte{cert: second.CertPEM, key: second.KeyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login("second")
	raw, err := c.DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw.Close()
	if got := <-seen; got != "" {
		t.Errorf("a client's leg shows %q", got)
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Connect(t.Context(), nil); err == nil {
		s.Close()
		t.Error("logged in with a certificate that is none")
	}
}

// Direct TLS without ALPN is not PostgreSQL's.
func TestDirectTLSNeedsALPN(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	pair := pgtest.NewAuthority(t, "a").Issue(t, pkix.Name{}, "127.0.0.1").Pair
	for _, protocols := range [][]string{nil, {alpn}} {
		port := peer(t, func(c net.Conn) {
			secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protocols})
			if secure.Handshake() == nil && readStartup(secure) != nil {
				secure.Write(welcome(nil))
				secure.Read(make([]byte, 100))
			}
		})
		c, err := Parse(conninfoFor(port, "sslmode=require sslnegotiation=direct"))
		if err != nil {
			t.Fatal(err)
		}
		raw, rawErr := c.DialRaw(t.Context())
		s, err := c.Connect(t.Context(), nil)
		if protocols == nil {
			for _, err := range []error{rawErr, err} {
				if err == nil || !strings.Contains(err.Error(), errNoALPN.Error()) {
					t.Errorf("without ALPN: %v", err)
				}
			}
			continue
		}
		if rawErr != nil || err != nil {
			t.Fatalf("%v, %v", rawErr, err)
		}
		raw.Close()
		s.Close()
	}
}
