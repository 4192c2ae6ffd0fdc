package config

import (
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/internal/tcpopt"
)

// Config is everything an operator can say. It is made by [Load] only and not changed afterwards,
// so any goroutine may read it.
type Config struct {
	Name                    string   // application_name upstream, node name, voter name
	Listen                  []string // "host:port" or "unix:/dir"
	HTTPCertFile            string   // with HTTPKeyFile: TLS there
	HTTPKeyFile             string
	HTTPTokenFile           string         // who asks must have the token in it
	HTTP                    string         // address of the admin server, "" = none
	TCP                     tcpopt.Options // of clients' connections
	DataDir                 string
	HTTPHosts               []string // names by which http may be asked
	ReadyWhen               string   // what /readyz asks for: ReadyStream or ReadyRule
	Upstream                Upstream
	WAL                     WAL
	Slots                   Slots
	Feedback                Feedback
	TLS                     TLS
	Auth                    Auth
	Limits                  Limits
	Access                  []string         // rules of pg_hba.conf's language, see handshake/access
	ListenAccess            []ListenerAccess // of listeners with rules of their own; --listen may leave some unused
	Voters                  []string         // to whom names of voters are bound, see handshake/access
	SynchronousStandbyNames string
	SynchronousStandbyZones StandbyZones
	Standbys                []StandbyRule // the first whose pattern has a standby's name holds
	Cluster                 Cluster
	LogLevel                slog.Level
	LogFormat               string // "text" or "json"

	origins map[string]origin // where each key was set, for errors; nil entries mean default
	file    *document
}

// ListenerAccess is an entry of listen with rules of its own, which hold instead of access.
type ListenerAccess struct {
	Address string
	Rules   []string
}

// Upstream configures the way to the primary, and this proxy's slot there.
type Upstream struct {
	Conninfo    string
	Slot        SlotChoice
	Via         string        // whom WAL comes from: primary or cluster
	ConnectWait time.Duration // how long a client waits for a primary
	// ReceiverTimeout is the silence that ends the stream from the primary; 0: none does.
	ReceiverTimeout time.Duration
	LeaveOld        string // what becomes of relayed sessions once the followed server is an old primary
}

// SlotChoice is upstream.slot: unset (the default name), a name, or explicitly none.
type SlotChoice struct {
	Chosen bool
	Name   string // with Chosen: the name, "" = stream without a slot
}

// WAL bounds the WAL that the store keeps.
type WAL struct {
	KeepSize           Size // kept for late joiners even when no slot needs it
	MaxSlotWALKeepSize AutoSize
	MinFree            Share  // of the volume of DataDir
	RetainUntil        int    // applying standbys that must have WAL before a store that votes removes it (R4)
	Report             string // what a report says is flushed: [ReportFlushed] or [ReportWritten] (R42)
	RestoreCommand     string // brings WAL that is older than the store; "" = none
}

// Slots are this proxy's own slots.
type Slots struct {
	AutoCreate  bool
	IdleTimeout time.Duration // 0: off
	Mirror      string        // of each slot on the primary: false (none) or presence
	RuleGate    string        // slot of the primary that the stream uses, so that it follows the rule; "" = none
	Adopted     string        // what becomes of the primary's slot: advance, drop or keep
	Promoted    string        // what becomes of the slot of a server that was promoted: release or keep
}

// Feedback is hot standby feedback of the standbys.
type Feedback struct {
	MaxAge int           // transactions that one standby may hold back; 0: any
	Settle time.Duration // after a start nothing is sent for so long
}

// TLS is the client leg. ClientCert and ClientName are pg_hba.conf's clientcert and clientname.
type TLS struct {
	CRLFile, CRLDir, MinVersion     string
	Mode                            string // off, allow or require
	CertFile, KeyFile, ClientCAFile string
	ClientCert                      string // optional, verify-ca or verify-full
	ClientName                      string // cn or dn
}

// Auth configures how clients are verified. MaxUpstreamWalsenders bounds the log-ins that take a walsender on the
// primary at one time (R13).
type Auth struct {
	Method, Query, UsersFile string
	CacheTTL                 time.Duration // so long what is known of a role holds
	CacheMaxAge              time.Duration // the same while the primary cannot be asked
	Delay                    time.Duration // before a client hears that its log-in has failed
	MaxUpstreamWalsenders    int
}

// Limits bound the resources of clients before and after they have logged in.
type Limits struct {
	MaxConnections, MaxConnectionsPerAddress, MaxLogins int
	AuthenticationTimeout                               time.Duration
}

// StandbyZones is a second rule, over zones, and who is in which of them (docs/adr/0021).
type StandbyZones struct {
	Rule  string
	Zones []Zone // by name
}

// Zone is a label and the voters that carry it.
type Zone struct {
	Name   string
	Voters []string
}

// Cluster has the keys by which proxies find each other.
type Cluster struct {
	Bind, Advertise string
	Join            []string
	KeyFile         string
	Members         []string // name and public key of each proxy, this one included
}

// Pulls reports whether one member of the cluster streams from the primary for all. It needs a cluster.
func (u *Upstream) Pulls() bool { return u.Via == ViaCluster }

// SlotName returns the physical slot on the primary, "" for none.
func (c *Config) SlotName() string {
	if c.Upstream.Slot.Chosen {
		return c.Upstream.Slot.Name
	}
	return DefaultSlot(c.Name)
}

// The values of upstream.leave_old_primary.
const (
	LeaveWarn      = "warn"
	LeaveRefuseNew = "refuse_new"
	LeaveEnd       = "end"
)

// The values of upstream.via.
const (
	ViaPrimary = "primary"
	ViaCluster = "cluster"
)

// The values of wal.report.
const (
	ReportFlushed = "flushed"
	ReportWritten = "written"
)

// DefaultListen, DefaultHTTP and DefaultDataDir are the contract's addresses and place.
const (
	DefaultListen  = ":6543"
	DefaultHTTP    = "127.0.0.1:6580"
	DefaultDataDir = "/var/lib/replproxy"
)

// DefaultMaxUpstreamWalsenders is R13's two: enough to keep log-ins moving, few enough for the
// usual max_wal_senders of 10.
const DefaultMaxUpstreamWalsenders = 2

// MethodSCRAM is auth.method: scram.
const MethodSCRAM = "scram"

// DefaultCacheTTL is the time for which a revoked role may still get in: as long as an operator waits to see it work.
// DefaultCacheMaxAge lasts through a night in which the primary stays down.
const (
	DefaultCacheTTL    = 30 * time.Second
	DefaultCacheMaxAge = 24 * time.Hour
)

// DefaultFeedbackSettle gives standbys without a slot the time to come back first (R20):
// wal_receiver_status_interval (10 s) and wal_retrieve_retry_interval (5 s).
const DefaultFeedbackSettle = 15 * time.Second

// DefaultReceiverTimeout is the default of PostgreSQL's wal_receiver_timeout.
const DefaultReceiverTimeout = time.Minute

// Values of ready_when.
const (
	ReadyStream = "stream" // WAL comes and is served
	ReadyRule   = "rule"   // and the rule is covered, so that commits do not wait
)

// DefaultConnectWait outlasts a failover without a human in it, and is no longer than drivers wait.
const DefaultConnectWait = 10 * time.Second

// Default returns the configuration without file and flags, except for the name, which needs the host.
func Default() *Config {
	return &Config{
		Listen:  []string{DefaultListen},
		HTTP:    DefaultHTTP,
		DataDir: DefaultDataDir, ReadyWhen: ReadyStream,
		WAL: WAL{
			KeepSize:           1 << 30,
			MaxSlotWALKeepSize: AutoSize{Auto: true},
			MinFree:            Share{Percent: 10},
			RetainUntil:        1,
			Report:             ReportFlushed,
		},
		Slots:    Slots{Adopted: "advance", Mirror: "false", Promoted: "release"},
		Feedback: Feedback{Settle: DefaultFeedbackSettle},
		Upstream: Upstream{
			Via: ViaPrimary, ConnectWait: DefaultConnectWait, ReceiverTimeout: DefaultReceiverTimeout,
			LeaveOld: LeaveWarn,
		},
		TLS: TLS{Mode: "off", ClientCert: "optional", ClientName: "cn", MinVersion: "TLSv1.2"},
		Auth: Auth{
			Method: "relay", MaxUpstreamWalsenders: DefaultMaxUpstreamWalsenders,
			CacheTTL: DefaultCacheTTL, CacheMaxAge: DefaultCacheMaxAge,
		},
		Limits: Limits{
			MaxConnections: 4096, MaxConnectionsPerAddress: 1024, MaxLogins: 32, AuthenticationTimeout: time.Minute,
		},
		LogLevel:  slog.LevelInfo,
		LogFormat: "text",
	}
}
