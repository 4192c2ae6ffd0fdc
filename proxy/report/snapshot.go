package report

import (
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/report/verdict"
)

// Snapshot has the states of the parts of a proxy at one moment.
type Snapshot struct {
	Config          *config.Config // in force
	InForce         admin.Config   // how it came into force
	Version, Commit string
	Profiles        bool // are served at the http address
	Started, Now    time.Time
	Stopping        bool
	Listen          []string
	LogDropped      uint64
	Past            verdict.Past  // of the verdict
	Events          []admin.Event // so far, the newest first
	Advice          []string      // warnings about the primary's configuration

	Stream      walsource.Status
	LastMessage time.Time // of the primary itself, by way of a member or not
	Withheld    bool      // the member that is streamed from reports less to the primary than the rule covers here
	Servers     int       // of upstream.conninfo
	Down        time.Time // since when no server is a primary; zero: one is, or that is not known
	Higher      *admin.Higher
	Own         realslot.ProxySlotStatus
	RuleGate    *realslot.RuleGateStatus  // nil without slots.rule_gate
	Drops       map[string]realslot.Drops // of mirrors, by slot
	Idle        []realslot.Idle

	Votes    cluster.Status
	Accepted *admin.Accepted // by an operator, not used yet; nil: nothing
	Aside    *admin.Aside    // WAL that is given up, and that the store has until the next start; nil: none

	Volume   Volume
	Store    Store
	Backfill backfill.Status
	Sources  []walsource.SourceStatus

	Standbys  []fanout.Standby
	Stranded  []fanout.Stranded
	YieldsTo  []string // members that voters are sent to
	Slots     []SharedSlot
	LostSlots int64
	Tallies   []fanout.Tally
	Syncs     *walstore.SyncTimes // nil: not known
	Left      []fanout.LeftSlot
	Feedback  fanout.FeedbackStatus

	Sessions []proxy.SessionInfo
	Counts   proxy.Counts
	Auth     *roles.Status // nil with auth.method: relay
	TLS      clienttls.Status

	Cluster *Cluster // nil without one
}

// Volume holds the size of the volume of data_dir, and what is free of it, in bytes; all 0 where it cannot be asked.
type Volume struct{ Total, Free int64 }

// Store has the state of the store.
type Store struct {
	walstore.Positions
	Identity     walstore.Identity // zero before the first stream
	Paused, Full bool
	Repair       *walstore.Repair // nil: none goes on
	Held         lsn.LSN          // WAL of it that has come and is not taken yet ends here; Invalid: none has
	VotedFrom    lsn.LSN          // WAL from here on is kept for votes alone; Invalid: none is
	VotedBytes   int64            // of it
}

// SharedSlot is one slot of the proxy, and who of the cluster has it.
type SharedSlot struct {
	fanout.SlotRow
	Kept        bool     // this proxy keeps its WAL
	KeptBy      []string // other members that keep it; nothing without a cluster
	Unconfirmed []string // members that may not know of it
}

// Cluster has the knowledge of the other members beside their votes.
type Cluster struct {
	Links    link.Status
	Unshared map[string]string // why slots are not shared with a member
	Releases map[string]string // of members, as far as they say it
	Dropped  []string          // slots that a member may still have
}
