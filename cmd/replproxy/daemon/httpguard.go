package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"

	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// openHTTP reads the certificate and the token of the http port; nil for what is not configured.
func openHTTP(c *config.Config, log *slog.Logger) (secure *clienttls.Reloader, token *admin.Token, err error) {
	unusable := func(key string, err error) error {
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At(key, err))}
	}
	if c.HTTPCertFile != "" {
		secure, err = clienttls.New(clienttls.Settings{
			Mode: clienttls.Allow, CertFile: c.HTTPCertFile, KeyFile: c.HTTPKeyFile, ClientCert: clienttls.Optional,
		}, log)
		var file *clienttls.FileError
		if errors.As(err, &file) {
			return nil, nil, unusable("http_"+file.Key, err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if c.HTTPTokenFile != "" {
		if token, err = admin.OpenToken(c.HTTPTokenFile, log); err != nil {
			return nil, nil, unusable("http_token_file", err)
		}
	}
	return secure, token, nil
}

// httpHosts returns the names by which the http port may be asked: those that are configured, this machine's own, and
// the one that http itself names.
func httpHosts(c *config.Config) []string {
	names := slices.Clone(c.HTTPHosts)
	if own, err := os.Hostname(); err == nil {
		names = append(names, own)
	}
	if host, _, err := net.SplitHostPort(c.HTTP); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// configOf returns the function that gives each connection to the http port its TLS configuration, nil for none.
func configOf(k *clienttls.Reloader) func() *tls.Config {
	if k == nil {
		return nil
	}
	return k.Config
}
