package vote

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Bounds, each far above what a sane cluster needs and low enough that a hostile member costs little.
const (
	MaxName     = 63      // bytes, as PostgreSQL cuts application_name (NAMEDATALEN - 1)
	MaxSessions = 1000    // of one node; PostgreSQL's own max_wal_senders is seldom above 100
	MaxDistinct = 16      // sessions of one name that can be told apart; more count as one voter
	MaxMembers  = 64      // of a cluster: each evaluation looks at all of them
	MaxRule     = 8 << 10 // bytes of a rule's text
	MaxZones    = 64      // of a rule, and of voters in one of its zones
)

// Kind tells standbys from stores.
type Kind uint8

// The kinds.
const (
	Standby Kind = iota // a downstream standby, voting under its application_name
	Store               // a proxy's own WAL store, voting under the node's name; never applies
)

// String returns the kind's name in status and logs.
func (k Kind) String() string {
	if k == Store {
		return "store"
	}
	return "standby"
}

// Key names one walsender session, or one start of a store, for ever. Incarnation is random, not 0.
type Key struct {
	Node        string // the node that serves the session, or whose store it is
	Incarnation uint64
}

// Session identifies a session; it does not change while the session lasts. Name is folded (see [Fold]).
type Session struct {
	Key
	Kind   Kind
	Name   string // application_name; of a store the node's name
	System lsn.SystemID
}

// Report is the newest that is known of a session. Positions are on Timeline; 0 is none, and flush 0
// makes the session no candidate. Seq rises by at least one with each Report of a Key.
type Report struct {
	Key
	Seq      uint64
	Timeline lsn.TimelineID
	lsn.Progress
	Streaming bool // has caught up once since it attached; a store: its stream runs
	// Bytes names the WAL that its node had, at the end of a complete record at or above the positions, or of the last
	// one (rulings R32, R36). LSN Invalid: message version 1, or not known.
	Bytes lsn.Print
	// Silent is set while the session is asked whether its standby has left it for a younger one of its name.
	Silent Silence
	// Distinct lists incarnations of sessions of the same Name whose successor this session is proven not to be. It
	// received WAL that was sent after its node knew of them (ruling R6).
	Distinct []uint64
}

// Silence says since when a session is silent that is asked whether its standby has left it. Host is the address of
// its client, "" for a unix socket or when it is not known.
type Silence struct {
	Since time.Time // of its last message, in microseconds; zero: it is not asked
	Host  string    // at most MaxName bytes
}

// RuleText is a rule as it is configured. Names is in the syntax of synchronous_standby_names, Spread in the same
// syntax over the zones, ANY only; "" is no rule.
type RuleText struct {
	Names  string
	Spread string
	Zones  []Zone
}

// Rule is the rule of one node, as configured there, with its generation and beginning.
type Rule struct {
	RuleText
	// Generation rises with each change and is persisted: a higher one supersedes what silent members
	// had. 0: this node never had a rule.
	Generation uint64
	// From is the highest position that the node had reported, on Timeline, when it took the rule.
	Timeline lsn.TimelineID
	From     lsn.LSN
	// Established: the rule has covered From, so it now covers whatever this node ever reported. Until then commits up
	// to From rest on Before, the last rule that was established (ruling R9).
	Established bool
	Before      RuleText
}

// Zone is a label and the voters that carry it, by name. A voter outside all zones counts for none.
type Zone struct {
	Name   string
	Voters []string
}

// Hashes name WAL of a node's store: where it begins, the newest sealed segments, and what it was asked for.
type Hashes struct {
	Oldest lsn.LSN
	Prints []lsn.Print // at most compare.MaxList
}

// Asks are positions at which a node wants to know others' hashes.
type Asks []Ask

// Ask is one of them.
type Ask struct {
	Node     string // that is asked
	Timeline lsn.TimelineID
	At       lsn.LSN
}

// Same reports whether both say the same, in the same words.
func (r RuleText) Same(o RuleText) bool {
	if r.Names != o.Names || r.Spread != o.Spread || len(r.Zones) != len(o.Zones) {
		return false
	}
	for i, z := range r.Zones {
		if z.Name != o.Zones[i].Name || !equal(z.Voters, o.Zones[i].Voters) {
			return false
		}
	}
	return true
}

// State is everything that changes slowly at a node. The newest by (Boot, Seq) replaces all before it: a
// session that it does not list has ended.
type State struct {
	Node string
	// Boot rises with every start of the node and is durable before it is used. No clock is asked; release v0.1.0 took
	// its own in microseconds where that is more.
	Boot uint64
	// Key is a fingerprint of the node's key, Run a random number of this start; 0: not said, by message version 1.
	Key, Run uint64
	Seq      uint64
	// Fenced is the highest timeline for which the node has promised never to vote or report again,
	// nor for any below it (ruling R2); 0 for none.
	Fenced   lsn.TimelineID
	Upstream bool // holds an upstream stream, so it wants the Reports
	// HistoryHash is a hash of the way by which the node's store came to its timeline: two servers may have
	// been promoted to one number. 0: not known, which equals nothing. FirstWAL tells two apart that were promoted at
	// one position.
	HistoryHash uint64
	FirstWAL    Fingerprint
	Rule        Rule
	Sessions    []Session
}

// Life is a start of a node as another one knows it: the newest that it has heard of.
type Life struct {
	Node           string
	Key, Boot, Run uint64 // see State; Boot 0: an operator has removed it since
	Lives          bool   // it is still heard
}

// Lives are all that a node knows of.
type Lives []Life // at most MaxMembers

// Fingerprint is a hash of the first WAL of a timeline, as a store has it. "Not yet" and "never" are two values: the
// zero Fingerprint is not known yet, and what is not known never counts (ruling R32).
type Fingerprint struct {
	Hash uint64 // 0: none
	// Never: it will not be known, because the store does not have that WAL or the timeline is the first one. A member
	// of message version 1 does not tell that from not yet.
	Never bool
}

// Known reports whether a store has said all that it will.
func (m Fingerprint) Known() bool { return m.Hash != 0 || m.Never }

// Differs reports whether two stores have different first WAL.
func (m Fingerprint) Differs(o Fingerprint) bool {
	return m.Hash != o.Hash && m.Hash != 0 && o.Hash != 0
}

// Newer reports whether s replaces o, both of one node.
func (s State) Newer(o State) bool {
	return s.Boot > o.Boot || s.Boot == o.Boot && s.Seq > o.Seq
}

// Fold returns a name as it is compared: ASCII letters in lower case, as PostgreSQL compares application_name with
// synchronous_standby_names (facts C2).
func Fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
