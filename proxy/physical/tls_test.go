package physical_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// A client in clear logs in over an upstream leg with TLS: the primary offers channel binding, which
// the client must not see (R25).
func TestClientInClearOverTLSUpstream(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	makeCertificate(t, primary)
	primary.Set(t, "ssl = on")
	primary.Restart(t)
	w := newWorld(t, primary, worldOptions{upstream: strings.Replace(
		primary.Conninfo(), "sslmode=disable", "sslmode=require", 1)})
	if got := connect(t, w.conninfo()).query("SHOW ssl"); !strings.Contains(got, `D "on"`) {
		t.Fatal(got)
	}
	if e := refusal(t, w.conninfo(), "password=wrong"); e.Code != "28P01" {
		t.Fatalf("%+v", e)
	}
}

// makeCertificate gives a server a certificate of its own, in files that its user can read.
func makeCertificate(t *testing.T, s *pgtest.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	owner, err := os.Stat(s.Dir)
	must(t, err)
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: cert},
		"server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		path := filepath.Join(s.Dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		id := owner.Sys().(*syscall.Stat_t)
		must(t, os.Chown(path, int(id.Uid), int(id.Gid)))
	}
}
