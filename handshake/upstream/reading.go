package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// reading holds the content of a conninfo and of all files that it points to, at one moment. It is not changed once it
// is adopted.
type reading struct {
	said      settings       // complete
	base      *pgconn.Config // one host's worth of library settings; host and TLS are set per attempt
	endpoints []Endpoint
	attrs     sessionAttrs
	timeout   time.Duration
	dial      dialer
	password  string // explicit; "" means passfile
	passfile  string
	fallback  string // fallback_application_name
	current   *currentPrimary
}

// site is a server as configured. TLS to it is made by one trust, whichever reading an endpoint is of.
type site struct {
	host string
	port uint16
}

// trust holds the TLS settings towards a server, as conninfo said them last. So an endpoint that is kept for months, by
// a stream or for a cancel request, goes by the certificates of today.
type trust struct{ config atomic.Pointer[tls.Config] }

// read reads everything anew. After an error what was read before goes on being shown.
func (c *Config) read() (*reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed {
		return c.last.Load(), nil
	}
	s, err := parseConninfo(c.text)
	if err == nil {
		err = s.check()
	}
	if err == nil {
		s, err = s.withDefaults()
	}
	if err != nil {
		return nil, err
	}
	r, err := build(s)
	if err != nil {
		return nil, hideSecrets(err, s)
	}
	c.adopt(r)
	return r, nil
}

// adopt makes r the last reading. The caller holds mu.
func (c *Config) adopt(r *reading) {
	r.current = c.current
	r.endpoints = slices.Clone(r.endpoints)
	for i, e := range r.endpoints {
		if e.tls == nil {
			continue
		}
		at := site{e.Host, e.Port}
		t := c.trusts[at]
		if t == nil {
			t = &trust{}
			c.trusts[at] = t
		}
		t.config.Store(e.tls.config.Load())
		r.endpoints[i].tls = t
	}
	c.last.Store(r)
}

// ownPassfile returns the password file that is used without passfile and PGPASSFILE, "" when there is none to look at.
// A daemon that was started with sudo or setpriv may have another user's home, which it may not search. As in libpq a
// file that is there and refuses us is still an error.
func ownPassfile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(home, ".pgpass")
	if _, err := os.Stat(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return file
}

func build(s settings) (*reading, error) {
	if s["host"] == "" && s["hostaddr"] != "" {
		s["host"] = s["hostaddr"]
	}
	if s["passfile"] == "" {
		s["passfile"] = ownPassfile()
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
	r := &reading{
		said: s, base: base, password: s["password"], passfile: s["passfile"],
		fallback: s["fallback_application_name"], timeout: base.ConnectTimeout,
	}
	if r.timeout <= 0 {
		r.timeout = DefaultConnectTimeout
	}
	if r.dial, err = newDialer(s); err != nil {
		return nil, err
	}
	if r.endpoints, err = endpointsOf(base, s, rules); err != nil {
		return nil, err
	}
	r.attrs, err = parseSessionAttrs(s["target_session_attrs"], len(strings.Split(s["host"], ",")))
	return r, err
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
			config := f.TLSConfig.Clone()
			config.MinVersion, config.MaxVersion = minTLS, maxTLS
			if err := rules.apply(config); err != nil {
				return nil, err
			}
			e.tls = &trust{}
			e.tls.config.Store(config)
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
