package upstream

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestRealServerWithTLS: SCRAM with channel binding on our own log-in, bare TLS for a client's.
func TestRealServerWithTLS(t *testing.T) {
	const password = "secret"
	srv := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM(password))
	srv.Stop(t, pgtest.Fast)
	cert, key := writePair(t, selfSigned(t))
	install := func(from, name string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(srv.Dir, name)
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(srv.Dir)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		if err := os.Chown(to, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	install(cert, "server.crt")
	install(key, "server.key")
	srv.Set(t, "ssl = on")
	srv.Start(t)
	base := "host=127.0.0.1 user=postgres dbname=postgres port=" + strconv.Itoa(srv.Port) + " password=" + password
	for _, extra := range []string{
		" sslmode=require channel_binding=require", " sslmode=verify-full sslrootcert=" + cert, " sslmode=prefer",
	} {
		c := config(t, base+extra)
		s, err := c.Connect(t.Context(), map[string]string{"replication": "true"})
		if err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		if _, ok := s.Conn.(*tls.Conn); !ok || !s.Endpoint.TLS() {
			t.Errorf("%s: no TLS", extra)
		}
		if res, err := s.Query(t.Context(), "IDENTIFY_SYSTEM"); err != nil || len(res[0].Rows) != 1 {
			t.Errorf("%s: %v, %v", extra, res, err)
		}
		s.Close()
		rc, err := c.DialRaw(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", extra, err)
		}
		io.WriteString(rc, "\x00\x00\x00\x09\x00\x03\x00\x00\x00") // a startup packet without a user
		answer := make([]byte, 1)
		if _, err := io.ReadFull(rc, answer); err != nil || answer[0] != 'E' || !rc.TLS {
			t.Errorf("%s: %q, %v", extra, answer, err)
		}
		rc.Close()
	}
}
