package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// certLife is longer than any test run and clock skew between two processes of one.
const certLife = 24 * time.Hour

// Authority issues certificates for a test.
type Authority struct {
	File string // its own certificate, for sslrootcert and the like
	PEM  []byte

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	who  osUser
	dir  string
}

// Certificate is one with its key, in files that only the servers' user may read, and in memory.
type Certificate struct {
	CertFile, KeyFile string
	CertPEM, KeyPEM   []byte
	Pair              tls.Certificate
}

// NewAuthority makes an authority whose files belong to the servers' user and end with the test.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	who := serverAccount(t)
	a := &Authority{who: who, dir: tempDir(t, who)}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-certLife), NotAfter: time.Now().Add(certLife),
	}
	a.key = newKey(t)
	der := create(t, template, template, a.key, a.key)
	a.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.cert, _ = x509.ParseCertificate(der)
	a.File = filepath.Join(a.dir, "ca.crt")
	a.write(t, a.File, a.PEM)
	return a
}

// Issue makes a certificate for hosts, names or addresses, and for a client of that subject.
func (a *Authority) Issue(t testing.TB, subject pkix.Name, hosts ...string) *Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-certLife), NotAfter: time.Now().Add(certLife),
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key := newKey(t)
	der := create(t, template, a.cert, key, a.key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &Certificate{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	if c.Pair, err = tls.X509KeyPair(c.CertPEM, c.KeyPEM); err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp(a.dir, "")
	if err == nil {
		err = a.who.Own(base)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.CertFile, c.KeyFile = filepath.Join(base, "tls.crt"), filepath.Join(base, "tls.key")
	a.Replace(t, c, c)
	return c
}

// Revoke makes a list, in force for a day, of certificates that are good no more, and returns its file.
func (a *Authority) Revoke(t testing.TB, certs ...*Certificate) (file string) {
	t.Helper()
	now := time.Now()
	list := &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(24 * time.Hour),
	}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Pair.Leaf.SerialNumber, RevocationTime: now,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatalf("revoke certificates: %v", err)
	}
	file = filepath.Join(a.dir, "crl-"+strconv.FormatInt(now.UnixNano(), 10))
	a.write(t, file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	return file
}

// Replace writes the content of with into the files of c, the certificate first.
func (a *Authority) Replace(t testing.TB, c, with *Certificate) {
	t.Helper()
	a.write(t, c.CertFile, with.CertPEM)
	a.write(t, c.KeyFile, with.KeyPEM)
}

func (a *Authority) write(t testing.TB, path string, content []byte) {
	t.Helper()
	err := writeFile(path, content, a.who)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TLS gives a server a certificate; it speaks TLS from its next start or Reload on.
func (s *Server) TLS(t testing.TB, c *Certificate, settings ...string) {
	t.Helper()
	s.Set(t, append([]string{
		"ssl = on", "ssl_cert_file = " + quote(c.CertFile), "ssl_key_file = " + quote(c.KeyFile),
	}, settings...)...)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func create(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Files writes copies of a certificate and its key that belong to this process, for tests within it.
func (c *Certificate) Files(t testing.TB) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, content := range map[string][]byte{cert: c.CertPEM, key: c.KeyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
