package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/internal/keyfile"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// openHTTP reads the certificate and the token of the http port; nil for what is not configured.
func openHTTP(c *config.Config, log *slog.Logger) (secure *clienttls.Keeper, token *admin.Token, err error) {
	unusable := func(key string, err error) error {
		return usageError{fmt.Errorf("unusable configuration\n%w", c.At(key, err))}
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

// httpHosts are the names by which the http port may be asked: those that are configured, this machine's own, and the
// one that http itself names.
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

// configOf is where the http port has its certificate from, nil for none.
func configOf(k *clienttls.Keeper) func() *tls.Config {
	if k == nil {
		return nil
	}
	return k.Config
}

// httpAccess is how a command reaches the http port of a proxy.
type httpAccess struct{ addr, tokenFile, caFile string }

// The environment of commands that ask the http port, for scripts that name no flags.
const (
	tokenFileEnv = "REPLPROXY_HTTP_TOKEN_FILE"
	caFileEnv    = "REPLPROXY_HTTP_CA_FILE"
)

// httpFlags adds what a command needs to ask the http port.
func httpFlags(cmd *cobra.Command, addr, help string) *httpAccess {
	a := &httpAccess{}
	f := cmd.Flags()
	f.StringVar(&a.addr, "http", addr, help+", or https://host:port")
	f.StringVar(&a.tokenFile, "http-token-file", os.Getenv(tokenFileEnv),
		"file with the token of http_token_file (default $"+tokenFileEnv+")")
	f.StringVar(&a.caFile, "http-ca-file", os.Getenv(caFileEnv),
		"certificates that may sign the one of https (default $"+caFileEnv+", or the system's)")
	return a
}

// fromFile takes the address and the token's file from a proxy's configuration file. Without a file nothing changes.
func (a *httpAccess) fromFile(cmd *cobra.Command, file string) error {
	if file == "" {
		return nil
	}
	if cmd.Flags().Changed("http") {
		return usageError{errors.New("-c and --http both say which proxy is meant: leave one out")}
	}
	c, err := loadConfig(cmd, file)
	if err != nil {
		return err
	}
	if c.HTTP == "" {
		return usageError{fmt.Errorf("%s turns http off: its proxy tells no status", file)}
	}
	if a.addr = c.HTTP; c.HTTPCertFile != "" {
		a.addr = "https://" + c.HTTP
	}
	if c.HTTPTokenFile != "" { // --http-token-file, where it is given
		a.tokenFile = c.HTTPTokenFile
	}
	return nil
}

// base is the URL of an http address; an address of all interfaces is asked on loopback. A file of
// certificates means https.
func (a *httpAccess) base() (string, error) {
	addr, https := strings.CutPrefix(a.addr, "https://")
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("--http: %q is not host:port, as in %s", a.addr, config.DefaultHTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if https || a.caFile != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// client is for one question.
func (a *httpAccess) client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if a.caFile != "" {
		pem, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, fmt.Errorf("--http-ca-file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--http-ca-file: no certificate in %q", a.caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // nobody else gets the token
	}}, nil
}

// request asks with the token, if there is one.
func (a *httpAccess) request(ctx context.Context, url string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || a.tokenFile == "" {
		return req, err
	}
	token, err := keyfile.ReadPasswords(a.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("--http-token-file: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return req, nil
}
