package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/crl"
	"github.com/replproxy/replproxy/internal/keyfile"
)

// alpn is the protocol's name in TLS, which libpq has offered since 17.
const alpn = "postgresql"

// errNoALPN is libpq's.
var errNoALPN = errors.New("direct SSL connection was established without ALPN protocol negotiation extension")

// tlsRules are the requirements of libpq on its TLS keywords that the library does not make.
type tlsRules struct {
	mode      string // sslmode, its default applied
	direct    bool
	rootFile  string         // what libpq looks for without sslrootcert
	system    *x509.CertPool // of sslrootcert=system, else nil
	cert, key string         // of the client; "": none
	unread    error          // why nobody could look whether there is a certificate in ~/.postgresql
	encrypted bool           // the key needs sslpassword: it is read once, by the library
	revoked   crl.Source
}

// tlsRules completes sslcert and sslkey as libpq does, and refuses what is weak. A list of revoked certificates that is
// named and cannot be read is refused, where libpq goes on without: who names one does not want to trust what it
// revokes.
func (s settings) tlsRules() (tlsRules, error) {
	r := tlsRules{mode: s["sslmode"], direct: s["sslnegotiation"] == "direct", encrypted: s["sslpassword"] != ""}
	system := s["sslrootcert"] == "system"
	switch {
	case r.mode == "" && system:
		r.mode = "verify-full"
	case r.mode == "":
		r.mode = "prefer"
	}
	weak := r.mode == "disable" || r.mode == "allow" || r.mode == "prefer"
	switch {
	case system && r.mode != "verify-full":
		return r, fmt.Errorf(`weak sslmode "%s" may not be used with sslrootcert=system (use "verify-full")`, r.mode)
	case r.direct && weak:
		return r, fmt.Errorf(`weak sslmode "%s" may not be used with sslnegotiation=direct `+
			`(use "require", "verify-ca", or "verify-full")`, r.mode)
	}
	if r.mode == "disable" {
		return r, nil
	}
	if system {
		var err error
		if r.system, err = systemRoots(); err != nil {
			return r, err
		}
	}
	dir := ""
	if home, err := os.UserHomeDir(); err == nil {
		dir = filepath.Join(home, ".postgresql")
		r.rootFile = filepath.Join(dir, "root.crt")
	}
	r.revoked = crl.Source{File: s["sslcrl"], Dir: s["sslcrldir"]}
	if own := filepath.Join(dir, "root.crl"); !r.revoked.Set() && dir != "" && exists(own) {
		r.revoked.File = own
	}
	if _, err := r.revoked.Read(); err != nil {
		return r, err
	}
	if s["sslcertmode"] == "disable" {
		return r, nil
	}
	err := r.ownCertificate(s, dir)
	s["sslcert"], s["sslkey"] = r.cert, r.key
	return r, err
}

// ownCertificate finds the client's certificate and its key; dir is ~/.postgresql, "": there is none. As in libpq a
// certificate that is not there is none, also one that is named: the server decides whether it lets in without. One
// without its key is an error. A daemon that was started from another user's shell has a home that it may not read.
// That is an error only when a server asks for a certificate, as in libpq, since nobody named the file.
func (r *tlsRules) ownCertificate(s settings, dir string) error {
	cert, key := s["sslcert"], s["sslkey"]
	found := cert == "" && dir != ""
	if found {
		cert = filepath.Join(dir, "postgresql.crt")
	}
	_, err := os.Stat(cert)
	switch {
	case cert == "", errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil && found:
		r.unread = fmt.Errorf("could not open certificate file %q: %w", cert, err)
		return nil
	case err != nil:
		return fmt.Errorf("could not open certificate file %q: %w", cert, err)
	case key == "" && dir != "":
		key = filepath.Join(dir, "postgresql.key")
	}
	r.cert, r.key = cert, key
	_, err = keyfile.ReadClient(key)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("certificate present, but not private key file %q", key)
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// apply completes the library's configuration of one endpoint.
func (r tlsRules) apply(c *tls.Config) error {
	if strings.HasPrefix(r.mode, "verify") && c.RootCAs == nil {
		return fmt.Errorf("root certificate file %q does not exist: either provide the file, use the system's trusted "+
			"roots with sslrootcert=system, or change sslmode to disable server certificate verification", r.rootFile)
	}
	if r.system != nil {
		c.RootCAs = r.system
	}
	c.NextProtos = []string{alpn}
	if r.direct || r.revoked.Set() && c.RootCAs != nil {
		roots := c.RootCAs
		c.VerifyConnection = func(st tls.ConnectionState) error {
			if r.direct && st.NegotiatedProtocol != alpn {
				return errNoALPN
			}
			return r.notRevoked(st, roots)
		}
	}
	if r.unread != nil || r.cert != "" && !r.encrypted {
		c.Certificates = nil
		c.GetClientCertificate = r.certificate
	}
	return nil
}

// notRevoked asks the lists about the server's certificate, as far as it is verified at all: without roots it is not,
// and libpq asks no list then. They are read for each connection, as libpq does.
func (r tlsRules) notRevoked(st tls.ConnectionState, roots *x509.CertPool) error {
	if !r.revoked.Set() || roots == nil {
		return nil
	}
	chains := st.VerifiedChains
	if len(chains) == 0 { // sslmode=verify-ca: the library verifies by itself
		between := x509.NewCertPool()
		for _, c := range st.PeerCertificates[1:] {
			between.AddCert(c)
		}
		var err error
		chains, err = st.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		if err != nil {
			return err
		}
	}
	return r.revoked.Check(chains, time.Now())
}

// certificate reads the client's own for each connection, as libpq does: certificates are renewed while
// a daemon runs. It is shown whatever authorities the server names.
func (r tlsRules) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if r.unread != nil {
		return nil, r.unread
	}
	chain, err := os.ReadFile(r.cert)
	if err != nil {
		return nil, fmt.Errorf("could not open certificate file: %w", err)
	}
	key, err := keyfile.ReadClient(r.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate file %q and private key file %q: %w", r.cert, r.key, err)
	}
	return &pair, nil
}
