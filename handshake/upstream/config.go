package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultConnectTimeout bounds the attempt at one endpoint, log-in included, when conninfo has no connect_timeout (or
// 0, libpq's "forever"). It is long enough for a loaded server, and short enough that a host which drops packets does
// not hide the next one.
const DefaultConnectTimeout = 10 * time.Second

// Config is a conninfo. What it points to, files and names, is read anew for each connection, as libpq does
// (ruling R47): what cannot be read makes that connection fail, and no other.
type Config struct {
	current *currentPrimary
	last    atomic.Pointer[reading] // what was read last: what methods show that do not connect

	mu     sync.Mutex      // one reads at a time
	text   string          // of conninfo
	fixed  bool            // nothing is read: see Through
	trusts map[site]*trust // of all endpoints that there were
}

// Parse reads a conninfo string: libpq keywords or a URI, several hosts allowed. The service file, the environment and
// libpq's defaults complete it. target_session_attrs defaults to any for one host and primary for several (ruling
// R29). The error never holds a password.
func Parse(conninfo string) (*Config, error) {
	c := &Config{text: conninfo, current: &currentPrimary{}, trusts: map[site]*trust{}}
	if _, err := c.read(); err != nil {
		return nil, fmt.Errorf("parse conninfo: %w", err)
	}
	return c, nil
}

// Replace gives c the content of with, for everybody who holds c, from their next connection on. SetCurrent's choice is
// forgotten. with must not be used otherwise afterwards.
func (c *Config) Replace(with *Config) {
	with.mu.Lock()
	text, r := with.text, *with.last.Load()
	with.mu.Unlock()
	c.mu.Lock()
	c.text = text
	c.adopt(&r)
	c.mu.Unlock()
	c.current.forget()
}

// libraryError drops the conninfo that the library's error quotes.
func libraryError(err error) error {
	text := err.Error()
	if _, rest, ok := cutLast(text, "`: "); ok {
		text = rest
	}
	return errors.New(text)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// hideSecrets removes secrets from errors. It is the second line of defence behind errors that do not quote values at
// all.
func hideSecrets(err error, s settings) error {
	text := err.Error()
	for _, name := range []string{"password", "sslpassword"} {
		if v := s[name]; v != "" && strings.Contains(text, v) {
			text = strings.ReplaceAll(text, v, "********")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// User returns the role that the proxy itself logs in as.
func (c *Config) User() string { return c.last.Load().base.User }

// Database returns conninfo's dbname, or [DefaultDatabase]: where SQL sessions of our own log in.
func (c *Config) Database() string { return c.last.Load().base.Database }

// ChannelBinding returns libpq's channel_binding: disable, prefer or require.
func (c *Config) ChannelBinding() string { return c.last.Load().base.ChannelBinding }

// ConnectTimeout bounds the attempt at one endpoint.
func (c *Config) ConnectTimeout() time.Duration { return c.last.Load().timeout }

// Endpoints lists the attempts of a connection, in order: each host with each way that sslmode allows.
func (c *Config) Endpoints() []Endpoint { return slices.Clone(c.last.Load().endpoints) }

// String shows hosts, user and database, never a secret.
func (c *Config) String() string {
	var hosts []string
	for _, e := range c.last.Load().endpoints {
		if h := e.String(); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return "host=" + strings.Join(hosts, ",") + " user=" + strconv.Quote(c.User())
}
