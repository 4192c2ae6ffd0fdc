package upstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgservicefile"
)

// handling names the part of this program that deals with a keyword.
type handling int

const (
	byLibrary handling = iota + 1 // pgconn understands it
	bySetting                     // a server setting that travels in the startup packet
	byUs                          // taken out before pgconn sees it: config.go, dialer.go
	idle                          // accepted only with a value that asks for nothing
	refused
)

// keyword is one row of libpq's parameter list. env is the environment variable, "" for none.
type keyword struct {
	name   string
	env    string
	how    handling
	values string // for idle: the accepted values, separated by blanks; "" is always accepted
	why    string // for refused and idle: what to tell the operator
}

// keywords is libpq's list (PostgreSQL 18). Whatever is not here is no libpq keyword.
var keywords = []keyword{
	{name: "host", env: "PGHOST", how: byLibrary},
	{name: "port", env: "PGPORT", how: byLibrary},
	{name: "dbname", env: "PGDATABASE", how: byLibrary},
	{name: "user", env: "PGUSER", how: byLibrary},
	{name: "password", env: "PGPASSWORD", how: byLibrary},
	{name: "connect_timeout", env: "PGCONNECT_TIMEOUT", how: byLibrary},
	{name: "sslmode", env: "PGSSLMODE", how: byLibrary},
	{name: "sslcert", env: "PGSSLCERT", how: byLibrary},
	{name: "sslkey", env: "PGSSLKEY", how: byLibrary},
	{name: "sslpassword", how: byLibrary},
	{name: "sslcertmode", env: "PGSSLCERTMODE", how: byLibrary},
	{name: "sslrootcert", env: "PGSSLROOTCERT", how: byLibrary},
	{name: "sslsni", env: "PGSSLSNI", how: byLibrary},
	{name: "sslnegotiation", env: "PGSSLNEGOTIATION", how: byLibrary},
	{name: "channel_binding", env: "PGCHANNELBINDING", how: byLibrary},
	{name: "require_auth", env: "PGREQUIREAUTH", how: byLibrary},
	{name: "min_protocol_version", env: "PGMINPROTOCOLVERSION", how: byLibrary},
	{name: "max_protocol_version", env: "PGMAXPROTOCOLVERSION", how: byLibrary},
	{name: "application_name", env: "PGAPPNAME", how: bySetting},
	{name: "client_encoding", env: "PGCLIENTENCODING", how: bySetting},
	{name: "options", env: "PGOPTIONS", how: bySetting},
	{name: "service", env: "PGSERVICE", how: byUs},
	{name: "servicefile", env: "PGSERVICEFILE", how: byUs},
	{name: "passfile", env: "PGPASSFILE", how: byUs},
	{name: "hostaddr", env: "PGHOSTADDR", how: byUs},
	{name: "target_session_attrs", env: "PGTARGETSESSIONATTRS", how: byUs},
	{name: "fallback_application_name", how: byUs},
	{name: "keepalives", how: byUs},
	{name: "keepalives_idle", how: byUs},
	{name: "keepalives_interval", how: byUs},
	{name: "keepalives_count", how: byUs},
	{name: "tcp_user_timeout", how: byUs},
	{name: "ssl_min_protocol_version", env: "PGSSLMINPROTOCOLVERSION", how: byUs},
	{name: "ssl_max_protocol_version", env: "PGSSLMAXPROTOCOLVERSION", how: byUs},
	{name: "gssencmode", env: "PGGSSENCMODE", how: idle, values: "disable prefer",
		why: "GSSAPI encryption is not supported"},
	{name: "gssdelegation", env: "PGGSSDELEGATION", how: idle, values: "0", why: "GSSAPI is not supported"},
	{name: "krbsrvname", env: "PGKRBSRVNAME", how: idle, values: "postgres", why: "GSSAPI is not supported"},
	{name: "gsslib", env: "PGGSSLIB", how: refused, why: "GSSAPI is not supported"},
	{name: "sslcompression", env: "PGSSLCOMPRESSION", how: idle, values: "0", why: "TLS compression is not supported"},
	{name: "load_balance_hosts", env: "PGLOADBALANCEHOSTS", how: idle, values: "disable",
		why: "there is one primary to find; hosts are tried in order"},
	{name: "sslcrl", env: "PGSSLCRL", how: byUs},
	{name: "sslcrldir", env: "PGSSLCRLDIR", how: byUs},
	{name: "requirepeer", env: "PGREQUIREPEER", how: idle,
		why: "the server's OS user is not checked; use a socket directory that only it may write"},
	{name: "sslkeylogfile", how: refused, why: "session keys are never written to a file"},
	{name: "scram_client_key", how: refused, why: "not supported"},
	{name: "scram_server_key", how: refused, why: "not supported"},
	{name: "oauth_issuer", how: refused, why: "OAuth is not supported"},
	{name: "oauth_client_id", how: refused, why: "OAuth is not supported"},
	{name: "oauth_client_secret", how: refused, why: "OAuth is not supported"},
	{name: "oauth_scope", how: refused, why: "OAuth is not supported"},
	{name: "replication", how: refused, why: "replproxy decides which of its connections replicate"},
}

// check refuses keywords that are unknown or cannot be honoured.
func (s settings) check() error {
	for name, value := range s {
		i := slices.IndexFunc(keywords, func(k keyword) bool { return k.name == name })
		if i < 0 {
			if quoteKeyword(name) == "a keyword" {
				return errors.New("invalid connection option")
			}
			return fmt.Errorf("invalid connection option %q", name)
		}
		k := keywords[i]
		switch {
		case k.how == refused:
			return fmt.Errorf("connection option %q is not accepted: %s", name, k.why)
		case k.how == idle && value != "" && !slices.Contains(strings.Fields(k.values), value):
			return fmt.Errorf("connection option %s=%s is not accepted: %s", name, value, k.why)
		}
	}
	return nil
}

// withDefaults adds values for keywords that conninfo leaves open: first from the service file, then from the
// environment, as libpq does.
func (s settings) withDefaults() (settings, error) {
	env := settings{}
	for _, k := range keywords {
		if v := os.Getenv(k.env); k.env != "" && v != "" {
			env[k.name] = v
		}
	}
	s.fill("service", env)
	s.fill("servicefile", env)
	service, err := readService(s["service"], s["servicefile"])
	if err != nil {
		return nil, err
	}
	for _, from := range []settings{service, env} {
		for name := range from {
			s.fill(name, from)
		}
	}
	return s, s.check()
}

func (s settings) fill(name string, from settings) {
	if _, ok := s[name]; !ok && from[name] != "" {
		s[name] = from[name]
	}
}

func readService(name, file string) (settings, error) {
	if name == "" {
		return nil, nil
	}
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("find service file: %w", err)
		}
		file = filepath.Join(home, ".pg_service.conf")
	}
	all, err := pgservicefile.ReadServicefile(file)
	if err != nil {
		return nil, fmt.Errorf("read service file: %w", err)
	}
	service, err := all.GetService(name)
	if err != nil {
		return nil, fmt.Errorf("definition of service %q not found in %s", name, file)
	}
	return service.Settings, nil
}
