package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultConnectTimeout bounds the attempt at one endpoint, log-in included, when conninfo has no
// connect_timeout (or 0, libpq's "forever"): long enough for a loaded server, short enough that a
// host which drops packets does not hide the next one.
const DefaultConnectTimeout = 10 * time.Second

// Config is a parsed conninfo. It is immutable except for what [Config.SetCurrent] and [Config.Replace] say.
type Config struct {
	base      *pgconn.Config // one host's worth of library settings; host and TLS are set per attempt
	endpoints []Endpoint
	attrs     sessionAttrs
	timeout   time.Duration
	dial      dialer
	password  string // explicit; "" means passfile
	passfile  string
	fallback  string // fallback_application_name
	verdict   *verdict
	next      atomic.Pointer[Config] // what Replace put in its place
}

// Replace puts what with says in the place of c for everybody who holds c, from their next connection on.
// What SetCurrent said is forgotten. with must not be used otherwise afterwards.
func (c *Config) Replace(with *Config) {
	with.verdict = c.verdict
	c.next.Store(with)
	c.verdict.forget()
}

// now is what holds for one call from outside.
func (c *Config) now() *Config {
	if n := c.next.Load(); n != nil {
		return n
	}
	return c
}

// Parse reads a conninfo string: libpq keywords or a URI, several hosts allowed, completed from the
// service file, the environment and libpq's defaults. target_session_attrs defaults to any for one
// host and primary for several (ruling R29). The error never holds a password.
func Parse(conninfo string) (*Config, error) {
	s, err := parseConninfo(conninfo)
	if err == nil {
		err = s.check()
	}
	if err == nil {
		s, err = s.withDefaults()
	}
	if err != nil {
		return nil, fmt.Errorf("parse upstream conninfo: %w", err)
	}
	c, err := build(s)
	if err != nil {
		return nil, fmt.Errorf("parse upstream conninfo: %w", hideSecrets(err, s))
	}
	return c, nil
}

func build(s settings) (*Config, error) {
	if s["host"] == "" && s["hostaddr"] != "" {
		s["host"] = s["hostaddr"]
	}
	if s["passfile"] == "" {
		if home, err := os.UserHomeDir(); err == nil {
			s["passfile"] = filepath.Join(home, ".pgpass")
		}
	}
	rules, err := s.tlsRules()
	if err != nil {
		return nil, err
	}
	pass := settings{"target_session_attrs": "any"}
	names := []string{"target_session_attrs"}
	for _, k := range keywords {
		v, ok := s[k.name]
		if ok && (k.how == byLibrary || k.how == bySetting || k.name == "service" || k.name == "servicefile") {
			pass[k.name] = v
			names = append(names, k.name)
		}
	}
	base, err := pgconn.ParseConfig(pass.render(names))
	if err != nil {
		return nil, libraryError(err)
	}
	maps.DeleteFunc(base.RuntimeParams, func(name, _ string) bool {
		return !slices.ContainsFunc(keywords, func(k keyword) bool { return k.name == name && k.how == bySetting })
	})
	if base.Database == "" {
		base.Database = DefaultDatabase
	}
	c := &Config{
		base: base, password: s["password"], passfile: s["passfile"],
		fallback: s["fallback_application_name"], timeout: base.ConnectTimeout,
		verdict: &verdict{},
	}
	if c.timeout <= 0 {
		c.timeout = DefaultConnectTimeout
	}
	if c.dial, err = newDialer(s); err != nil {
		return nil, err
	}
	if c.endpoints, err = endpointsOf(base, s, rules); err != nil {
		return nil, err
	}
	c.attrs, err = parseSessionAttrs(s["target_session_attrs"], len(strings.Split(s["host"], ",")))
	return c, err
}

// endpointsOf lists the library's hosts and fall-backs, with hostaddr and the TLS version limits.
func endpointsOf(base *pgconn.Config, s settings, rules tlsRules) ([]Endpoint, error) {
	minTLS, err := tlsVersion(s, "ssl_min_protocol_version", tls.VersionTLS12)
	if err != nil {
		return nil, err
	}
	maxTLS, err := tlsVersion(s, "ssl_max_protocol_version", 0)
	if err != nil {
		return nil, err
	}
	if maxTLS != 0 && maxTLS < minTLS {
		return nil, errors.New("ssl_min_protocol_version is above ssl_max_protocol_version")
	}
	all := []*pgconn.FallbackConfig{{Host: base.Host, Port: base.Port, TLSConfig: base.TLSConfig}}
	all = append(all, base.Fallbacks...)
	addrs, err := hostAddrs(s)
	if err != nil {
		return nil, err
	}
	var list []Endpoint
	host, second := -1, false
	for i, f := range all {
		second = i > 0 && !second && variantOf(all[i-1], f)
		if !second {
			host++
		}
		e := Endpoint{Host: f.Host, Port: f.Port, direct: base.SSLNegotiation == "direct"}
		if f.TLSConfig != nil {
			e.tls = f.TLSConfig.Clone()
			e.tls.MinVersion, e.tls.MaxVersion = minTLS, maxTLS
			if err := rules.apply(e.tls); err != nil {
				return nil, err
			}
		}
		if addrs != nil && addrs[host] != "" && !e.Unix() {
			e.Addr = joinHostPort(addrs[host], f.Port)
		}
		e.plainNext = e.tls != nil && !second && i+1 < len(all) && variantOf(f, all[i+1])
		list = append(list, e)
	}
	return list, nil
}

// variantOf reports whether b is the same host as a with the other half of allow or prefer.
func variantOf(a, b *pgconn.FallbackConfig) bool {
	return a.Host == b.Host && a.Port == b.Port && (a.TLSConfig == nil) != (b.TLSConfig == nil)
}

// hostAddrs splits hostaddr, one per host. A hostaddr without host names the hosts itself.
func hostAddrs(s settings) ([]string, error) {
	if s["hostaddr"] == "" {
		return nil, nil
	}
	addrs := strings.Split(s["hostaddr"], ",")
	if hosts := strings.Split(s["host"], ","); len(hosts) != len(addrs) {
		return nil, fmt.Errorf("could not match %d host names to %d hostaddr values", len(hosts), len(addrs))
	}
	for _, a := range addrs {
		if a != "" && !isAddress(a) {
			return nil, fmt.Errorf("hostaddr %q is not an IP address", a)
		}
	}
	return addrs, nil
}

func tlsVersion(s settings, name string, otherwise uint16) (uint16, error) {
	switch v := s[name]; strings.ToLower(v) {
	case "":
		return otherwise, nil
	case "tlsv1":
		return tls.VersionTLS10, nil
	case "tlsv1.1":
		return tls.VersionTLS11, nil
	case "tlsv1.2":
		return tls.VersionTLS12, nil
	case "tlsv1.3":
		return tls.VersionTLS13, nil
	default:
		return 0, fmt.Errorf("invalid %s value: %q", name, v)
	}
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

// hideSecrets is the second line of defence behind errors that do not quote values at all.
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

// User is the role that the proxy itself logs in as.
func (c *Config) User() string { return c.now().base.User }

// Database is conninfo's dbname, or [DefaultDatabase]: where SQL sessions of our own log in.
func (c *Config) Database() string { return c.now().base.Database }

// ChannelBinding is libpq's channel_binding: disable, prefer or require.
func (c *Config) ChannelBinding() string { return c.now().base.ChannelBinding }

// ConnectTimeout bounds the attempt at one endpoint.
func (c *Config) ConnectTimeout() time.Duration { return c.now().timeout }

// Endpoints lists what is tried, in order: hosts times what sslmode allows.
func (c *Config) Endpoints() []Endpoint { return slices.Clone(c.now().endpoints) }

// String shows hosts, user and database, never a secret.
func (c *Config) String() string {
	var hosts []string
	for _, e := range c.now().endpoints {
		if h := e.String(); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return "host=" + strings.Join(hosts, ",") + " user=" + strconv.Quote(c.User())
}
