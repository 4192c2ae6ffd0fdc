package upstream

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// reaches reports whether each kind of connection gets somewhere, and fails the test when they do not agree.
func reaches(t *testing.T, c *Config, what string) bool {
	t.Helper()
	var got []error
	s, err := c.Connect(t.Context(), map[string]string{"replication": "true"})
	if err == nil {
		s.Close()
	}
	got = append(got, err)
	all, err := c.ConnectAll(t.Context(), map[string]string{"replication": "true"}, 0)
	for _, s := range all {
		err = nil
		s.Close()
	}
	got = append(got, err)
	for _, dial := range []func(context.Context) (*RawConn, error){
		c.DialRaw, func(ctx context.Context) (*RawConn, error) { return c.DialPrimary(ctx, 0) },
	} {
		rc, err := dial(t.Context())
		if err == nil {
			rc.Close()
		}
		got = append(got, err)
	}
	got = append(got, c.Cancel(t.Context(), c.Endpoints()[0], []byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 15: 0}))
	for _, err := range got[1:] {
		if (err == nil) != (got[0] == nil) {
			t.Errorf("%s: connections of the kinds do not agree: %v", what, got)
			break
		}
	}
	if Down(got[0]) {
		t.Errorf("%s: a file of ours says that the server is down: %v", what, got[0])
	}
	return got[0] == nil
}

// TestFilesAreReadAnew: each file that a conninfo points to counts as it is when a connection begins (ruling R47).
func TestFilesAreReadAnew(t *testing.T) {
	known, stranger := pgtest.NewAuthority(t, "known"), pgtest.NewAuthority(t, "stranger")
	cert := known.Issue(t, pkix.Name{}, "127.0.0.1")
	port := tlsPeer(t, cert, nil)
	home := t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(home, "file")
	write := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func(certs ...*pgtest.Certificate) string {
		b, err := os.ReadFile(known.Revoke(t, certs...))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	own := filepath.Join(home, ".postgresql", "root.crt")
	t.Setenv("SSL_CERT_FILE", file)
	for _, tc := range []struct{ name, words, path, good, bad string }{
		{"sslrootcert", "sslmode=verify-full sslrootcert=" + file, file, string(known.PEM), string(stranger.PEM)},
		{"verify-ca", "sslmode=verify-ca sslrootcert=" + file, file, string(known.PEM), string(stranger.PEM)},
		{"no authority", "sslmode=verify-full sslrootcert=" + file, file, string(known.PEM), "nothing"},
		{"system", "sslrootcert=system", file, string(known.PEM), string(stranger.PEM)},
		{"root.crt", "sslmode=require", own, string(known.PEM), string(stranger.PEM)},
		{"sslcrl", "sslmode=verify-full sslcrl=" + file + " sslrootcert=" + known.File, file, list(), list(cert)},
		{"service", "service=main sslmode=disable", filepath.Join(home, ".pg_service.conf"),
			fmt.Sprintf("[main]\nhost=127.0.0.1\nport=%d\n", port), "[other]\nhost=127.0.0.1\n"},
	} {
		write(tc.path, tc.good)
		c := mustParse(t, conninfoFor(port, tc.words))
		if tc.name == "service" {
			c = mustParse(t, "user=u "+tc.words)
		}
		for _, content := range []string{tc.good, tc.bad, tc.good} {
			write(tc.path, content)
			if got := reaches(t, c, tc.name); got != (content == tc.good) {
				t.Errorf("%s: reached %v with\n%s", tc.name, got, content)
			}
		}
		if err := os.Remove(tc.path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServiceLeadsElsewhere: hosts of a service file that changes are taken at once; whether the stream has to be made
// anew is told by what it was found by.
func TestServiceLeadsElsewhere(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	a, b := tlsPeer(t, nil, nil), tlsPeer(t, nil, nil)
	lead := func(to int) {
		t.Helper()
		text := fmt.Sprintf("[main]\nhost=127.0.0.1\nport=%d\nuser=u\n", to)
		if err := os.WriteFile(filepath.Join(home, ".pg_service.conf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(c *Config) int {
		t.Helper()
		s, err := c.Connect(t.Context(), map[string]string{"replication": "true"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Conn.Close(); err != nil {
			t.Fatal(err)
		}
		return int(s.Endpoint.Port)
	}
	lead(a)
	c := mustParse(t, "service=main sslmode=disable")
	s, err := c.Connect(t.Context(), map[string]string{"replication": "true"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.SetCurrent(s.Endpoint)
	if got := at(c); got != a || c.LeadsElsewhere(mustParse(t, "service=main sslmode=disable")) {
		t.Errorf("at %d, not at %d, or nothing has changed and it leads elsewhere", got, a)
	}
	lead(b)
	if got := at(c); got != b {
		t.Errorf("at %d, not at %d", got, b)
	}
	if !c.LeadsElsewhere(mustParse(t, "service=main sslmode=disable")) {
		t.Error("the stream comes from where nobody leads any more, and nothing is to be done")
	}
	again, err := c.ConnectTo(t.Context(), s.Endpoint, map[string]string{"replication": "true"}) // beside the stream
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	c.UnsetCurrent()
	if c.LeadsElsewhere(mustParse(t, "service=main sslmode=disable")) {
		t.Error("nothing was found since the file was read, and the walreceiver is to be told")
	}
}

// TestNamesAreLookedUpAnew: an address holds for as long as the stream comes from it; afterwards the name counts, which
// may lead to another server now.
func TestNamesAreLookedUpAnew(t *testing.T) {
	c := config(t, "host=localhost port=1 user=u sslmode=disable")
	e := c.Endpoints()[0]
	e.Addr = "192.0.2.7:1"
	c.SetCurrent(e)
	r, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	if list := r.order(); len(list) != 2 || list[0].Addr != e.Addr || list[1].Addr != "" {
		t.Errorf("while the stream comes: %+v", list)
	}
	c.UnsetCurrent()
	if list := r.order(); len(list) != 1 || list[0].Addr != "" {
		t.Errorf("after it: %+v", list)
	}
	_, err = c.DialRaw(t.Context())
	if err == nil || strings.Contains(err.Error(), "192.0.2.7") {
		t.Errorf("%v", err)
	}
}
