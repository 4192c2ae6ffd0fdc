package clienttls

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/afterlock"
)

// The values of tls.mode.
const (
	Off     = "off"     // no TLS: SSLRequest gets 'N'
	Allow   = "allow"   // the client chooses
	Require = "require" // TCP connections without TLS are refused
)

// The values of tls.clientcert, as in pg_hba.conf.
const (
	Optional   = "optional" // a certificate is verified if the client shows one
	VerifyCA   = "verify-ca"
	VerifyFull = "verify-full" // and it must name the role
)

// The values of tls.clientname: what of the certificate's subject names the role.
const (
	CN = "cn"
	DN = "dn"
)

// The values of tls.min_protocol_version, as of ssl_min_protocol_version.
const (
	TLS12 = "TLSv1.2"
	TLS13 = "TLSv1.3"
)

// Settings are the tls keys of the configuration. They are comparable.
type Settings struct {
	Mode                            string
	CertFile, KeyFile, ClientCAFile string // paths; no ClientCAFile: certificates are not asked for
	ClientCert, ClientName          string
	CRLFile, CRLDir                 string // of revoked client certificates; "": none
	MinVersion                      string // TLSv1.2 (also "") or TLSv1.3
}

// Reloader holds the settings in force. It may be used by many goroutines; nothing of it blocks beyond reading small
// files. Make it with [New].
type Reloader struct {
	log *slog.Logger

	mu       afterlock.Mutex
	set      Settings
	config   *tls.Config // nil: Off
	seen     stamps      // of the files when they were read last, with or without success
	loadedAt time.Time
	err      error // why the files as they are now are not in use
}

// New reads the files. The error is a *[FileError].
func New(s Settings, log *slog.Logger) (*Reloader, error) {
	k := &Reloader{log: log}
	return k, k.Set(s)
}

// Set puts s into force for connections from now on and reads its files anew. After an error, a
// *[FileError], what was before stays in force.
func (k *Reloader) Set(s Settings) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := stampsOf(s)
	var config *tls.Config
	if s.Mode != Off {
		var err error
		if config, err = load(s); err != nil {
			return err
		}
	}
	k.set, k.config, k.seen, k.loadedAt, k.err = s, config, seen, time.Now(), nil
	return nil
}

// Config returns the TLS configuration for one connection that begins now; nil: there is no TLS. It must not be
// changed. Files that have changed since the last one are read.
func (k *Reloader) Config() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.config == nil {
		return nil
	}
	if now := stampsOf(k.set); !now.equal(k.seen) {
		k.seen = now // before reading, so that a change meanwhile is seen next time
		k.reload()
	}
	return k.config
}

// reload reads the files anew. The caller holds mu.
func (k *Reloader) reload() {
	config, err := load(k.set)
	k.err = err
	if err != nil {
		k.mu.After(func() {
			k.log.Error("the TLS files have changed and cannot be used: the ones before stay in use", "err", err)
		})
		return
	}
	k.config, k.loadedAt = config, time.Now()
	k.mu.After(func() {
		k.log.Info("the TLS files have changed and are in use", "not_after", config.Certificates[0].Leaf.NotAfter)
	})
}

// Certificate returns the certificate that clients see, in DER; nil without TLS.
func (k *Reloader) Certificate() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.config == nil {
		return nil
	}
	return k.config.Certificates[0].Certificate[0]
}

// Status describes the settings and certificate in force.
type Status struct {
	Mode       string
	ClientCert string    // "" when no certificate is asked for
	Subject    string    // of the certificate that clients see
	NotAfter   time.Time // its end
	SHA256     string    // of the certificate, in hexadecimal
	LoadedAt   time.Time
	LastError  string // why the files as they are now are not in use
}

// Status returns the status for pages and logs; without TLS only Mode is set.
func (k *Reloader) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{Mode: k.set.Mode}
	if k.config == nil {
		return s
	}
	leaf := k.config.Certificates[0].Leaf
	sum := sha256.Sum256(leaf.Raw)
	s.Subject, s.NotAfter, s.SHA256 = handshake.DN(leaf), leaf.NotAfter, hex.EncodeToString(sum[:])
	s.LoadedAt = k.loadedAt
	if k.config.ClientCAs != nil {
		s.ClientCert = k.set.ClientCert
	}
	if k.err != nil {
		s.LastError = k.err.Error()
	}
	return s
}
