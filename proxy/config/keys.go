package config

import "github.com/replproxy/replproxy/internal/tcpopt"

// key is one row of the contract: where it stands in the file, which flag sets it, how it is read.
// A change of a key that is not live needs a restart; SIGHUP puts the others into force.
type key struct {
	path string // "wal.keep_size"; "" = flag only
	flag string // without dashes; "" = file only
	help string // one line for --help
	live bool
	of   func(*Config) value
}

// reload and restart say what a change takes.
const (
	reload  = true
	restart = false
)

// listenAccess stands for the access rules of the entries of listen. It is a key of its own, because it can change
// without a restart.
const listenAccess = "listen.access"

// keys is the whole contract of the configuration, in the order of the reference file.
var keys = []key{
	{"name", "name", "name of this proxy, its application_name upstream (default: the host name)", restart,
		func(c *Config) value { return text(&c.Name) }},
	{"listen", "listen", "address for clients and standbys, host:port or unix:/dir; repeatable", restart,
		func(c *Config) value { return texts(&c.Listen) }},
	{listenAccess, "", "", reload,
		func(c *Config) value { return listenerRules(&c.ListenAccess) }},
	{"tcp_keepalives_idle", "", "", reload,
		func(c *Config) value { return reader(&c.TCP.Idle, parseKeepalive) }},
	{"tcp_keepalives_interval", "", "", reload,
		func(c *Config) value { return reader(&c.TCP.Interval, parseKeepalive) }},
	{"tcp_keepalives_count", "", "", reload,
		func(c *Config) value { return integer(&c.TCP.Count, 0, tcpopt.MaxCount) }},
	{"tcp_user_timeout", "", "", reload,
		func(c *Config) value { return reader(&c.TCP.UserTimeout, parseUserTimeout) }},
	{"http", "http", `address of health, metrics and status; "" for none`, restart,
		func(c *Config) value { return text(&c.HTTP) }},
	{"http_cert_file", "", "", restart,
		func(c *Config) value { return text(&c.HTTPCertFile) }},
	{"http_key_file", "", "", restart,
		func(c *Config) value { return text(&c.HTTPKeyFile) }},
	{"http_token_file", "", "", restart,
		func(c *Config) value { return text(&c.HTTPTokenFile) }},
	{"http_hosts", "", "", restart,
		func(c *Config) value { return texts(&c.HTTPHosts) }},
	{"ready_when", "", "", reload,
		func(c *Config) value { return enum(&c.ReadyWhen, ReadyStream, ReadyRule) }},
	{"data_dir", "data-dir", "directory of the store", restart,
		func(c *Config) value { return text(&c.DataDir) }},
	{"log_level", "log-level", "debug, info, warn or error", reload,
		func(c *Config) value { return level(&c.LogLevel) }},
	{"log_format", "log-format", "text or json", restart,
		func(c *Config) value { return enum(&c.LogFormat, "text", "json") }},
	{"upstream.conninfo", "upstream", "the primary: libpq keywords or a URI, several hosts allowed", reload,
		func(c *Config) value { return text(&c.Upstream.Conninfo) }},
	{"upstream.slot", "", "", restart,
		func(c *Config) value { return slotChoice(&c.Upstream.Slot) }},
	{"upstream.via", "", "", restart,
		func(c *Config) value { return enum(&c.Upstream.Via, ViaPrimary, ViaCluster) }},
	{"upstream.connect_wait", "", "", reload,
		func(c *Config) value { return reader(&c.Upstream.ConnectWait, parseSeconds) }},
	{"upstream.receiver_timeout", "", "", restart,
		func(c *Config) value { return reader(&c.Upstream.ReceiverTimeout, parseSeconds) }},
	{"upstream.leave_old_primary", "", "", reload,
		func(c *Config) value { return enum(&c.Upstream.LeaveOld, LeaveWarn, LeaveRefuseNew, LeaveEnd) }},
	{"wal.keep_size", "", "", reload,
		func(c *Config) value { return reader(&c.WAL.KeepSize, ParseSize) }},
	{"wal.max_slot_wal_keep_size", "", "", reload,
		func(c *Config) value { return reader(&c.WAL.MaxSlotWALKeepSize, parseAutoSize) }},
	{"wal.min_free", "", "", reload,
		func(c *Config) value { return reader(&c.WAL.MinFree, parseShare) }},
	{"wal.retain_until_standbys", "", "", reload,
		func(c *Config) value { return integer(&c.WAL.RetainUntil, 0, 100) }},
	{"wal.report", "", "", reload,
		func(c *Config) value { return enum(&c.WAL.Report, ReportFlushed, ReportWritten) }},
	{"wal.restore_command", "", "", reload,
		func(c *Config) value { return text(&c.WAL.RestoreCommand) }},
	{"slots.auto_create", "", "", reload,
		func(c *Config) value { return boolean(&c.Slots.AutoCreate) }},
	{"slots.idle_timeout", "", "", reload,
		func(c *Config) value { return reader(&c.Slots.IdleTimeout, parseSeconds) }},
	{"slots.adopted", "", "", reload,
		func(c *Config) value { return enum(&c.Slots.Adopted, "advance", "drop", "keep") }},
	{"slots.promoted", "", "", reload,
		func(c *Config) value { return enum(&c.Slots.Promoted, "release", "keep") }},
	{"slots.mirror", "", "", reload,
		func(c *Config) value { return mirror(&c.Slots.Mirror) }},
	{"slots.rule_gate", "", "", restart,
		func(c *Config) value { return text(&c.Slots.RuleGate) }},
	{"feedback.max_age", "", "", reload,
		func(c *Config) value { return integer(&c.Feedback.MaxAge, 0, 2_000_000_000) }},
	{"feedback.settle", "", "", restart,
		func(c *Config) value { return reader(&c.Feedback.Settle, parseSeconds) }},
	{"tls.mode", "", "", reload,
		func(c *Config) value { return enum(&c.TLS.Mode, "off", "allow", "require") }},
	{"tls.cert_file", "", "", reload,
		func(c *Config) value { return text(&c.TLS.CertFile) }},
	{"tls.key_file", "", "", reload,
		func(c *Config) value { return text(&c.TLS.KeyFile) }},
	{"tls.client_ca_file", "", "", reload,
		func(c *Config) value { return text(&c.TLS.ClientCAFile) }},
	{"tls.clientcert", "", "", reload,
		func(c *Config) value { return enum(&c.TLS.ClientCert, "optional", "verify-ca", "verify-full") }},
	{"tls.clientname", "", "", reload,
		func(c *Config) value { return enum(&c.TLS.ClientName, "cn", "dn") }},
	{"tls.crl_file", "", "", reload,
		func(c *Config) value { return text(&c.TLS.CRLFile) }},
	{"tls.crl_dir", "", "", reload,
		func(c *Config) value { return text(&c.TLS.CRLDir) }},
	{"tls.min_protocol_version", "", "", reload,
		func(c *Config) value { return enum(&c.TLS.MinVersion, "TLSv1.2", "TLSv1.3") }},
	{"auth.method", "", "", restart,
		func(c *Config) value { return enum(&c.Auth.Method, "relay", MethodSCRAM) }},
	{"auth.query", "", "", restart,
		func(c *Config) value { return text(&c.Auth.Query) }},
	{"auth.users_file", "", "", restart,
		func(c *Config) value { return text(&c.Auth.UsersFile) }},
	{"auth.cache_ttl", "", "", reload,
		func(c *Config) value { return reader(&c.Auth.CacheTTL, parseSeconds) }},
	{"auth.cache_max_age", "", "", reload,
		func(c *Config) value { return reader(&c.Auth.CacheMaxAge, parseSeconds) }},
	{"auth.delay", "", "", reload,
		func(c *Config) value { return reader(&c.Auth.Delay, parseDelay) }},
	{"auth.max_upstream_walsenders", "", "", reload,
		func(c *Config) value { return integer(&c.Auth.MaxUpstreamWalsenders, 1, 1000) }},
	{"limits.max_connections", "", "", reload,
		func(c *Config) value { return integer(&c.Limits.MaxConnections, 1, 1_000_000) }},
	{"limits.max_connections_per_address", "", "", reload,
		func(c *Config) value { return integer(&c.Limits.MaxConnectionsPerAddress, 1, 1_000_000) }},
	{"limits.max_logins", "", "", reload,
		func(c *Config) value { return integer(&c.Limits.MaxLogins, 1, 100_000) }},
	{"limits.authentication_timeout", "", "", restart,
		func(c *Config) value { return reader(&c.Limits.AuthenticationTimeout, parseLoginTime) }},
	{"access", "access", "rule of who may come in, a line as in pg_hba.conf; repeatable", reload,
		func(c *Config) value { return texts(&c.Access) }},
	{"voters", "", "", reload,
		func(c *Config) value { return texts(&c.Voters) }},
	{"synchronous_standby_names", "synchronous-standby-names",
		"rule for the position that is reported to the primary", reload,
		func(c *Config) value { return text(&c.SynchronousStandbyNames) }},
	{"synchronous_standby_zones.rule", "", "", reload,
		func(c *Config) value { return text(&c.SynchronousStandbyZones.Rule) }},
	{"synchronous_standby_zones.zones", "", "", reload,
		func(c *Config) value { return zones(&c.SynchronousStandbyZones.Zones) }},
	{"standbys", "", "", reload,
		func(c *Config) value { return standbys(&c.Standbys) }},
	{"cluster.bind", "", "", restart,
		func(c *Config) value { return text(&c.Cluster.Bind) }},
	{"cluster.advertise", "", "", restart,
		func(c *Config) value { return text(&c.Cluster.Advertise) }},
	{"cluster.join", "", "", restart,
		func(c *Config) value { return texts(&c.Cluster.Join) }},
	{"cluster.key_file", "", "", restart,
		func(c *Config) value { return text(&c.Cluster.KeyFile) }},
	{"cluster.members", "", "", restart,
		func(c *Config) value { return texts(&c.Cluster.Members) }},
}

// Flag describes a command line flag that sets a key.
type Flag struct {
	Name, Help, Default string
	List                bool // repeatable
}

// Flags returns the flags of the commands that take a configuration, in the order of the file.
func Flags() []Flag {
	var all []Flag
	defaults := Default()
	for _, k := range keys {
		if k.flag != "" {
			v := k.of(defaults)
			all = append(all, Flag{Name: k.flag, Help: k.help, Default: v.get(), List: v.list})
		}
	}
	return all
}

func keyByPath(path string) (key, bool) {
	for _, k := range keys {
		if k.path == path && path != "" {
			return k, true
		}
	}
	return key{}, false
}

func keyByFlag(name string) (key, bool) {
	for _, k := range keys {
		if k.flag == name {
			return k, true
		}
	}
	return key{}, false
}

// isSection reports whether path stands above keys, as "wal" does.
func isSection(path string) bool {
	for _, k := range keys {
		if len(k.path) > len(path) && k.path[:len(path)] == path && k.path[len(path)] == '.' {
			return true
		}
	}
	return false
}
