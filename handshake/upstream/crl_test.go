package upstream

import (
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestRevokedServer: sslcrl, sslcrldir and ~/.postgresql/root.crl on both kinds of legs, against a real server. As libpq,
// lists are asked only where the certificate is verified at all, and are read anew for each connection.
func TestRevokedServer(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	a := pgtest.NewAuthority(t, "a")
	cert := a.Issue(t, pkix.Name{CommonName: "db"}, "127.0.0.1")
	s := pgtest.Need(t, 15).Primary(t,
		pgtest.Settings("ssl = on", "ssl_cert_file = '"+cert.CertFile+"'", "ssl_key_file = '"+cert.KeyFile+"'"))
	revoked, fine := a.Revoke(t, cert), a.Revoke(t)
	elsewhere := pgtest.NewAuthority(t, "b").Revoke(t)
	dir := t.TempDir()
	list := filepath.Join(dir, "x.r0")
	copyFile := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyFile(fine, list)
	root := " sslrootcert=" + a.File
	try := func(c *Config, want string) {
		t.Helper()
		said := map[string]error{}
		raw, err := c.DialRaw(t.Context())
		if said["a client's leg"] = err; err == nil {
			raw.Close()
		}
		own, err := c.Connect(t.Context(), nil)
		if said["our log-in"] = err; err == nil {
			own.Close()
		}
		for leg, err := range said {
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", leg, err, want)
			}
		}
	}
	parse := func(words string) *Config {
		t.Helper()
		c, err := Parse(s.Conninfo(words))
		if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		return c
	}
	for words, want := range map[string]string{
		"sslmode=verify-full sslcrl=" + fine + root:      "",
		"sslmode=verify-full sslcrl=" + revoked + root:   "certificate revoked",
		"sslmode=verify-ca sslcrl=" + revoked + root:     "certificate revoked",
		"sslmode=verify-ca sslcrl=" + fine + root:        "",
		"sslmode=require sslcrl=" + revoked + root:       "certificate revoked", // a root makes it verify-ca
		"sslmode=require sslcrl=" + revoked:              "",
		"sslmode=verify-full sslcrl=" + elsewhere + root: "unable to get certificate CRL",
		"sslmode=verify-full sslcrldir=" + dir + root:    "",
	} {
		try(parse(words), want)
	}
	c := parse("sslmode=verify-full sslcrldir=" + dir + root)
	copyFile(revoked, list)
	try(c, "certificate revoked")
	if err := os.Mkdir(filepath.Join(home, ".postgresql"), 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(revoked, filepath.Join(home, ".postgresql/root.crl"))
	try(parse("sslmode=verify-full"+root), "certificate revoked")
}
