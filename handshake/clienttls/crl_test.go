package clienttls

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestRevokedClient: a certificate that a list names, or that no list speaks of, lets nobody in; the lists are read for
// each. A client without one is none of their business, and old versions of TLS are not spoken.
func TestRevokedClient(t *testing.T) {
	a := pgtest.NewAuthority(t, "a")
	cert, key := a.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1").Files(t)
	good, bad := a.Issue(t, pkix.Name{CommonName: "good"}), a.Issue(t, pkix.Name{CommonName: "bad"})
	list := a.Revoke(t, bad)
	k, err := New(Settings{Mode: Require, CertFile: cert, KeyFile: key, ClientCAFile: a.File, CRLFile: list, ClientCert: Optional,
		MinVersion: TLS13}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	try := func(c *pgtest.Certificate, most uint16) error {
		t.Helper()
		server, client := net.Pipe()
		defer server.Close()
		defer client.Close()
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: most}
		if c != nil {
			config.Certificates = []tls.Certificate{c.Pair}
		}
		go func() {
			secure := tls.Client(client, config)
			_ = secure.Handshake()
			_, _ = secure.Read(make([]byte, 1))
		}()
		return tls.Server(server, k.Config()).HandshakeContext(t.Context())
	}
	if err := try(good, 0); err != nil {
		t.Errorf("good: %v", err)
	}
	if err := try(nil, 0); err != nil {
		t.Errorf("none: %v", err)
	}
	if err := try(bad, 0); err == nil || !strings.Contains(err.Error(), "certificate revoked") {
		t.Errorf("revoked: %v", err)
	}
	if err := try(good, tls.VersionTLS12); err == nil || !strings.Contains(err.Error(), "versions") {
		t.Errorf("TLS 1.2: %v", err)
	}
	if err := os.Rename(a.Revoke(t, bad, good), list); err != nil {
		t.Fatal(err)
	}
	if err := try(good, 0); err == nil || !strings.Contains(err.Error(), "certificate revoked") {
		t.Errorf("revoked meanwhile: %v", err)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if err := try(good, 0); err == nil {
		t.Error("without a list")
	}
	if _, err := New(Settings{Mode: Require, CertFile: cert, KeyFile: key, ClientCAFile: a.File, CRLFile: list}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "certificate revocation list file") {
		t.Errorf("a start without the list: %v", err)
	}
}
