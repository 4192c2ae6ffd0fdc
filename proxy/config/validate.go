package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/handshake/access"
)

// minKeepSize is the least store that can serve a standby that reconnects: one segment of the least size that there is.
// Where segments are larger check warns.
const minKeepSize Size = mib

// validate judges values by themselves and against each other; it touches neither disk nor net.
func (c *Config) validate() Errors {
	var errs Errors
	bad := func(key, format string, args ...any) {
		errs = append(errs, c.at(key, fmt.Sprintf(format, args...)))
	}
	if m := nameProblem(c.Name); m != "" {
		bad("name", "%s", m)
	}
	if len(c.Listen) == 0 {
		bad("listen", "no address to listen on; the default is %q", DefaultListen)
	}
	seen := map[string]bool{}
	for _, a := range c.Listen {
		if m := listenProblem(a); m != "" {
			bad("listen", "%s", m)
		} else if seen[a] {
			bad("listen", "%q is listed twice", a)
		}
		seen[a] = true
	}
	if c.HTTP != "" {
		if m := tcpProblem(c.HTTP); m != "" {
			bad("http", "%s", m)
		}
	}
	if c.HTTPCertFile != "" && c.HTTPKeyFile == "" {
		bad("http_key_file", "is not set: TLS needs the certificate's private key")
	}
	if c.HTTPKeyFile != "" && c.HTTPCertFile == "" {
		bad("http_cert_file", "is not set: TLS needs a certificate")
	}
	if c.DataDir == "" {
		bad("data_dir", "is empty: name a directory that belongs to this proxy alone")
	}
	if strings.TrimSpace(c.Upstream.Conninfo) == "" {
		bad("upstream.conninfo", `is not set: say where the primary is, as in --upstream "host=db1 user=replproxy"`)
	}
	if m := slotProblem(c.Upstream.Slot); m != "" {
		bad("upstream.slot", "%s", m)
	}
	if gate := c.Slots.RuleGate; gate != "" {
		switch m := slotProblem(SlotChoice{true, gate}); {
		case m != "":
			bad("slots.rule_gate", "%s", m)
		case c.SlotName() == "":
			bad("slots.rule_gate", "needs a slot of this proxy's own on the primary, which holds WAL: upstream.slot "+
				"is empty")
		case c.SlotName() == gate:
			bad("slots.rule_gate", "%q is upstream.slot: name another one, which follows the rule", gate)
		}
	}
	if m := c.Cluster; m.Bind == "" {
		if c.Upstream.Pulls() {
			bad("upstream.via", "needs a cluster: cluster.bind is not set")
		}
		for key, set := range map[string]bool{"cluster.advertise": m.Advertise != "", "cluster.join": len(m.Join) > 0,
			"cluster.key_file": m.KeyFile != "", "cluster.members": len(m.Members) > 0} {
			if set {
				bad(key, "does nothing without cluster.bind")
			}
		}
	} else {
		if m := tcpProblem(c.Cluster.Bind); m != "" {
			bad("cluster.bind", "%s", m)
		}
		if m.KeyFile == "" {
			bad("cluster.key_file", "is not set: a cluster needs a shared key for its packets")
		}
		if len(m.Members) < 2 {
			bad("cluster.members", "names no other proxy: list a line of \"replproxy identity\" for each, "+
				"this one included")
		}
	}
	for key, m := range tlsProblems(c.TLS) {
		bad(key, "%s", m)
	}
	errs = append(errs, c.accessProblems()...)
	for key, m := range authProblems(c.Auth) {
		bad(key, "%s", m)
	}
	if _, certs, err := access.ParseVoters(c.Voters); err != nil {
		bad("voters", "%v", err)
	} else if certs && c.TLS.ClientCAFile == "" {
		bad("voters", "a certificate needs tls.client_ca_file, which says whose certificates are good")
	}
	if m := ruleProblem(c.SynchronousStandbyNames); m != "" {
		bad("synchronous_standby_names", "%s", m)
	}
	errs = append(errs, c.standbyProblems()...)
	if c.WAL.KeepSize < minKeepSize {
		bad("wal.keep_size", "%s is less than the smallest segment; at least %s is needed", c.WAL.KeepSize, minKeepSize)
	}
	return errs
}

// nameProblem says why a server would change the name: application_name is cut at 63 bytes and only printable ASCII
// stays as it is. "": it would not.
func nameProblem(name string) string {
	if name == "" {
		return "is empty: a proxy needs a name that the primary can show"
	}
	if len(name) > maxIdentifier {
		return fmt.Sprintf("%q has %d bytes; PostgreSQL keeps %d", name, len(name), maxIdentifier)
	}
	for i := 0; i < len(name); i++ {
		if name[i] < 0x20 || name[i] > 0x7e {
			return fmt.Sprintf("%q has a character that PostgreSQL would replace; use printable ASCII", name)
		}
	}
	return ""
}

// tlsProblems returns contradictions among the tls keys, by key; the files are looked at later.
func tlsProblems(t TLS) map[string]string {
	all := map[string]string{}
	if t.Mode != "off" {
		if t.CertFile == "" {
			all["tls.cert_file"] = "is not set: TLS needs a certificate"
		}
		if t.KeyFile == "" {
			all["tls.key_file"] = "is not set: TLS needs the certificate's private key"
		}
	}
	if t.ClientCert != "optional" {
		switch {
		case t.ClientCAFile == "":
			all["tls.clientcert"] = "needs tls.client_ca_file, which says whose certificates are good"
		case t.Mode != "require":
			all["tls.clientcert"] = "needs tls.mode: require, or a client without TLS would need no certificate"
		}
	}
	for key, set := range map[string]bool{"tls.crl_file": t.CRLFile != "", "tls.crl_dir": t.CRLDir != ""} {
		if set && t.ClientCAFile == "" {
			all[key] = "does nothing without tls.client_ca_file: no client certificate is asked for"
		}
	}
	if t.ClientName != "cn" && t.ClientCert != "verify-full" {
		all["tls.clientname"] = "does nothing without tls.clientcert: verify-full"
	}
	return all
}

// authProblems returns contradictions among the auth keys, by key.
func authProblems(a Auth) map[string]string {
	all := map[string]string{}
	if a.Method != MethodSCRAM {
		for key, set := range map[string]bool{"auth.query": a.Query != "", "auth.users_file": a.UsersFile != ""} {
			if set {
				all[key] = "does nothing without auth.method: scram"
			}
		}
		return all
	}
	if a.Query == "" && a.UsersFile == "" {
		all["auth.method"] = "scram needs verifiers: set auth.query, as in \"SELECT * FROM replproxy.auth($1)\" " +
			"with the function of docs/auth.md, or auth.users_file"
	}
	if a.CacheTTL > a.CacheMaxAge {
		all["auth.cache_ttl"] = "is longer than auth.cache_max_age"
	}
	return all
}

func listenProblem(a string) string {
	dir, isUnix := strings.CutPrefix(a, "unix:")
	switch {
	case isUnix && !filepath.IsAbs(dir):
		return fmt.Sprintf("%q: name the socket's directory by its absolute path, as in unix:/run/replproxy", a)
	case isUnix:
		return ""
	}
	return tcpProblem(a)
}

func tcpProblem(a string) string {
	_, port, err := net.SplitHostPort(a)
	if err != nil {
		return fmt.Sprintf("%q is not host:port, as in %q or \"127.0.0.1:6543\"", a, DefaultListen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Sprintf("%q has no port from 0 to 65535", a)
	}
	return ""
}

// ruleProblem returns PostgreSQL's error for the setting, and its usual cause (R23).
func ruleProblem(text string) string {
	_, err := syncrep.Parse(text)
	if err == nil {
		return ""
	}
	e := pgerror.From(err)
	m := e.Message
	if e.Detail != "" {
		m += "; DETAIL: " + e.Detail
	}
	if strings.Contains(e.Detail, "near") {
		m += `; HINT: names other than plain identifiers must be double-quoted, as in 'ANY 1 ("proxy-a", s1)'`
	}
	return m
}

func slotProblem(s SlotChoice) string {
	if !s.Chosen || s.Name == "" {
		return ""
	}
	if len(s.Name) > maxIdentifier {
		return fmt.Sprintf("replication slot name %q is too long", s.Name)
	}
	if plain(s.Name) != s.Name {
		return fmt.Sprintf("replication slot name %q contains invalid character; "+
			"names may only contain lower case letters, numbers, and the underscore character", s.Name)
	}
	return ""
}
