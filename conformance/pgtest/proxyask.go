package pgtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
)

// Log returns the log of all runs of this proxy so far.
func (p *Proxy) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	return string(text)
}

// Get asks the HTTP listener.
func (p *Proxy) Get(ctx context.Context, path string) (code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	url := fmt.Sprintf("http://%s:%d%s", p.options.Host.address(), p.HTTPPort, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // leaves no goroutine
	if p.options.Host != nil {
		transport.DialContext = p.options.Host.dial
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// Status decodes the JSON of /status into a value.
func (p *Proxy) Status(t testing.TB, into any) {
	t.Helper()
	code, body, err := p.Get(t.Context(), "/status")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", code)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		t.Fatalf("status of %s: %v", p.Name, err)
	}
}

// Conninfo returns a libpq connection string for the proxy; extra is appended, and later keywords win.
func (p *Proxy) Conninfo(extra ...string) string {
	return conninfo(p.options.Host.address(), p.Port, p.options.Password, extra)
}

// SQL runs statements through the proxy, as [Server.SQL].
func (p *Proxy) SQL(t testing.TB, sql string, extra ...string) [][]string {
	t.Helper()
	return mustQuery(t, p.Name, p.Conninfo(extra...), sql)
}
