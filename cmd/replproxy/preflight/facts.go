package preflight

import (
	"errors"
	"net/netip"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
)

// Setup describes how the proxy is configured. Fields without a remark hold the configuration's value.
type Setup struct {
	Name                  string // application_name upstream
	User                  string // role upstream
	Database              string // where the proxy asks by SQL
	Slot                  string // "" = none
	NewStore              bool   // data_dir knows of no earlier life
	DataDir               string
	KeepSize              int64
	MinFree               int64 // bytes of the volume; 0 while the volume is unknown
	MaxUpstreamWalsenders int
	Mirror                string          // slots.mirror
	RuleGate              string          // slots.rule_gate
	Report                string          // wal.report
	Rule                  string          // own synchronous_standby_names
	RuleText              vote.RuleText   // the same with zones
	FeedbackMaxAge        int             // feedback.max_age
	AuthMethod            string          // auth.method
	AuthQuery             string          // auth.query
	AccessRules           int             // how many, of all listeners
	AccessPhysical        bool            // one of them is about physical walsenders
	Access                []*access.Rules // of each listener that has some
	UnixLeg               bool            // a host of conninfo is a unix socket
	TLSMode               string          // tls.mode
	Certificate           []byte          // that clients see, in DER; nil without TLS
	Members               []string        // the other proxies of the cluster
	Forgotten             []string        // of them, those that an operator has removed
	MemberSlots           []string        // their own slots on the primary, as their names make them
	ViaCluster            bool            // upstream.via is cluster: one member streams from the primary
	LoopbackOnly          bool            // every listener is a loopback address or a unix socket
}

// Facts holds the findings of Gather. A zero value is unknown.
type Facts struct {
	Replication error // why a walsender connection failed; nil = it works
	SQL         error // why an SQL connection failed; nil = it works
	Endpoint    string
	Version     string            // server_version
	Major       int               // 14 … 18
	System      string            // system identifier
	Standby     bool              // the upstream is in recovery itself
	SSL         *handshake.SSL    // of the connection to it; nil in clear
	Local       bool              // it is on this machine
	SameCert    bool              // it shows the certificate that clients see here
	Settings    map[string]string // by SHOW; absent when the server does not know them

	Walsenders  []Walsender // only with SQL
	Slots       []Slot      // only with SQL
	SlotFound   bool        // READ_REPLICATION_SLOT knows our slot (15 and later)
	SlotAsked   bool        // it could be asked
	Trusted     bool        // a log-in from here is let in without being asked for anything
	TrustTested bool

	AuthAsked  bool // auth.query was asked
	AuthErr    error
	Derived    []string // access rules that say what the primary's pg_hba.conf does; only if there are none
	NotDerived int      // lines of it that have no counterpart

	Hosts    []Host       // of upstream.conninfo, if it names several
	Gateways []netip.Addr // of this machine

	Disk  Disk
	Clock Clock // the server's; only with SQL
}

// asked reports whether a server that would do was found: if not, nothing can be said of it.
func (f *Facts) asked() bool { return f.Replication == nil || f.SQL == nil }

// Walsender is a row of the upstream's pg_stat_replication.
type Walsender struct{ ApplicationName, State string }

// Slot is a row of the upstream's pg_replication_slots.
type Slot struct {
	Name, Type, WALStatus string
	Active, Temporary     bool
	Holder                string // application_name of who uses it
	Held                  int64  // bytes of WAL from restart_lsn on; -1: it reserves nothing
}

// Disk holds the facts about data_dir and its volume. Total and Free are bytes of the volume.
type Disk struct {
	Err         error // it cannot be used
	Exists      bool
	Total, Free int64
	Sync        SyncTime
	Slots       []string // of the proxy whose directory it is
	// Store is whose WAL it holds; the zero Identity: nobody's.
	Store walstore.Identity
}

// code returns the SQLSTATE in an error's chain, "" when the server did not speak.
func code(err error) pgerror.Code {
	var e *pgerror.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
