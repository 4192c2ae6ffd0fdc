package ask

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/replproxy/replproxy/internal/keyfile"
	"github.com/replproxy/replproxy/proxy/config"
)

const (
	// statusTimeout bounds one question to a proxy on this machine or near it.
	statusTimeout = 5 * time.Second
	// maxStatus bounds the answer: a thousand standbys take about 600 kB.
	maxStatus = 16 << 20
)

// HTTP reaches the http port of a proxy. Addr is host:port, or https://host:port; TokenFile and CAFile may be "".
type HTTP struct{ Addr, TokenFile, CAFile string }

// Base returns the URL of an http address; an address of all interfaces is asked on loopback. A file of
// certificates means https.
func (a *HTTP) Base() (string, error) {
	addr, https := strings.CutPrefix(a.Addr, "https://")
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("--http: %q is not host:port, as in %s", a.Addr, config.DefaultHTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if https || a.CAFile != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// client returns an HTTP client for one question, which follows no redirect: nobody else gets the token. An error is
// about the file of --http-ca-file.
func (a *HTTP) client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--http-ca-file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--http-ca-file: no certificate in %q", a.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // nobody else gets the token
	}}, nil
}

// request returns a GET of url with the token, if there is a file of one. A file that cannot be read, or that others
// may read, is an error.
func (a *HTTP) request(ctx context.Context, url string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || a.TokenFile == "" {
		return req, err
	}
	token, err := keyfile.ReadPasswords(a.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("--http-token-file: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return req, nil
}

// Fetch asks for a path, and returns the answer's body, up to maxStatus bytes. It blocks for statusTimeout at most. Any
// status but 200 is an error.
func (a *HTTP) Fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	base, err := a.Base()
	if err != nil {
		return nil, err
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	req, err := a.request(ctx, base+path)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(res.Body, maxStatus))
	case http.StatusUnauthorized:
		return nil, errors.New("it wants the token of its http_token_file: name the file by --http-token-file")
	}
	return nil, fmt.Errorf("HTTP status %s", res.Status)
}

// plain drops the URL that net/http puts around its errors: the caller names it.
func plain(err error) error {
	var wrapped interface{ Unwrap() error }
	if errors.As(err, &wrapped) && wrapped.Unwrap() != nil {
		return wrapped.Unwrap()
	}
	return err
}
