package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/crl"
	"github.com/replproxy/replproxy/internal/keyfile"
)

// FileError is a file that cannot be used. Key is the setting that names it, below tls.
type FileError struct {
	Key string
	Err error
}

// Error returns the reason, which names the file.
func (e *FileError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// load makes the configuration of new connections. The error is a *FileError.
func load(s Settings) (*tls.Config, error) {
	chain, err := os.ReadFile(s.CertFile)
	if err != nil {
		return nil, &FileError{"cert_file", fmt.Errorf("could not load server certificate file: %w", err)}
	}
	key, err := keyfile.ReadServer(s.KeyFile)
	if err != nil {
		return nil, &FileError{"key_file", err}
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		err = fmt.Errorf("certificate %q and private key %q: %w", s.CertFile, s.KeyFile, err)
		return nil, &FileError{"key_file", err}
	}
	c := &tls.Config{
		Certificates:           []tls.Certificate{pair},
		NextProtos:             []string{handshake.ALPN},
		MinVersion:             minVersion(s.MinVersion),
		SessionTicketsDisabled: true,
		// Whole records, as the server's own: small ones at the beginning help browsers.
		DynamicRecordSizingDisabled: true,
	}
	if s.ClientCAFile == "" {
		return c, nil
	}
	roots, err := os.ReadFile(s.ClientCAFile)
	if err == nil {
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !c.ClientCAs.AppendCertsFromPEM(roots) {
			err = errors.New("no certificate in it")
		}
	}
	if err != nil {
		err = fmt.Errorf("could not load root certificate file %q: %w", s.ClientCAFile, err)
		return nil, &FileError{"client_ca_file", err}
	}
	revoked := crl.Source{File: s.CRLFile, Dir: s.CRLDir}
	if _, err := revoked.Read(); err != nil {
		key := "crl_dir"
		if s.CRLFile != "" {
			key = "crl_file"
		}
		return nil, &FileError{key, err}
	}
	if revoked.Set() {
		// The lists are read for each certificate: they change more often than anything else, and one that cannot be
		// read lets nobody in.
		c.VerifyConnection = func(st tls.ConnectionState) error {
			if len(st.PeerCertificates) == 0 {
				return nil
			}
			return revoked.Check(st.VerifiedChains, time.Now())
		}
	}
	return c, nil
}

// minVersion returns the number of a version's word.
func minVersion(word string) uint16 {
	if word == TLS13 {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// stamps tell whether files have changed: one per file, the zero value for one that is not there.
type stamps [3]fs.FileInfo

func stampsOf(s Settings) (all stamps) {
	for i, name := range []string{s.CertFile, s.KeyFile, s.ClientCAFile} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			all[i] = info
		}
	}
	return all
}

func (s stamps) equal(o stamps) bool {
	for i, was := range s {
		if !keyfile.Same(was, o[i]) {
			return false
		}
	}
	return true
}
