package admin

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Status is the document of /status. Positions are absent while they are not known, times are RFC
// 3339, sizes are bytes. The doc tags are rendered to docs/status.md, so they are the schema.
type Status struct {
	Verdict    Verdict   `json:"verdict" doc:"how it is, in one sentence"`
	Name       string    `json:"name" doc:"name of the proxy, its application_name on the primary"`
	Version    string    `json:"version" doc:"version of replproxy"`
	Commit     string    `json:"commit,omitempty" doc:"source revision it was built from"`
	StartedAt  time.Time `json:"started_at" doc:"when the process started"`
	Now        time.Time `json:"now" doc:"when this snapshot was taken, by the proxy's clock"`
	Ready      bool      `json:"ready" doc:"what /readyz says"`
	ReadyWhen  string    `json:"ready_when,omitempty" doc:"what that asks for: stream, or rule, which commits wait for"`
	NotReady   string    `json:"not_ready,omitempty" doc:"why it is not ready, in words"`
	HeldBack   string    `json:"held_back,omitempty" doc:"why no standby is served yet; absent: they are"`
	Stopping   bool      `json:"stopping" doc:"an orderly stop has begun"`
	Listen     []string  `json:"listen" doc:"addresses for clients and standbys"`
	Upstream   Upstream  `json:"upstream" doc:"the one connection to the primary that streams WAL"`
	Quorum     Quorum    `json:"quorum" doc:"what is reported to the primary: why does a commit wait?"`
	Cluster    *Cluster  `json:"cluster,omitempty" doc:"links with the other proxies; absent without a cluster"`
	Store      Store     `json:"store" doc:"WAL kept on this proxy's disk"`
	Accepted   *Accepted `json:"accepted_timeline,omitempty" doc:"an operator's word that is not used yet"`
	Aside      *Aside    `json:"sets_aside,omitempty" doc:"WAL that is given up: the next start sets the store aside"`
	GivenUp    []GivenUp `json:"given_up,omitempty" doc:"WAL that the primary had lost when it was followed again"`
	Backfill   Backfill  `json:"backfill" doc:"fetching of WAL that is older than the store, or damaged in it"`
	Sources    []Origin  `json:"wal_sources" doc:"where WAL comes from, in the order in which it is asked for"`
	Standbys   []Standby `json:"standbys" doc:"attached walsenders, shaped like pg_stat_replication"`
	Slots      []Slot    `json:"slots" doc:"slots of this proxy, shaped like pg_replication_slots"`
	Idle       []Idle    `json:"primary_idle_slots" doc:"the primary's slots that nobody uses there; not this proxy's"`
	Feedback   Feedback  `json:"feedback" doc:"hot_standby_feedback of all standbys together"`
	LostSlots  int64     `json:"lost_slots_total" doc:"slots lost since the start"`
	Sessions   Sessions  `json:"sessions" doc:"client connections by class"`
	TLS        TLS       `json:"tls" doc:"encryption towards clients"`
	SSL        []SSL     `json:"ssl" doc:"encrypted connections, as in pg_stat_ssl; the first 200, walsenders first"`
	Auth       Auth      `json:"auth" doc:"who verifies clients"`
	Limits     Limits    `json:"limits" doc:"bounds that are in force"`
	LogDropped int64     `json:"log_dropped_lines_total" doc:"log lines that the log's reader did not take"`
	Config     Config    `json:"config" doc:"the configuration, and what SIGHUP did to it"`
	Tallies    *Tallies  `json:"-"` // for /metrics alone
	Warnings   []string  `json:"warnings" doc:"what an operator should change, in words; docs/runbook.md has each"`
	Events     []Event   `json:"events" doc:"what happened since the start, the newest first; at most 100"`
}

// Event is a thing that happened, as two looks at this document show, a second apart.
type Event struct {
	At   time.Time `json:"at" doc:"when it was noticed"`
	Kind string    `json:"kind" doc:"attach, detach, failover, rule, slot lost, source changed, verdict, start …"`
	Of   string    `json:"of,omitempty" doc:"the standby, slot, member or server that it is about"`
	Text string    `json:"text" doc:"what happened, in words"`
}

// Config is the configuration in force.
type Config struct {
	File       string    `json:"file,omitempty" doc:"the file it was read from; absent without one"`
	Generation int       `json:"generation" doc:"1 at the start, one more with each reload"`
	LoadedAt   time.Time `json:"loaded_at" doc:"when it was read last without an error"`
	LastError  string    `json:"last_error,omitempty" doc:"why the last reload changed nothing; absent when it did"`
	Pending    []Pending `json:"pending_restart" doc:"keys whose new value needs a restart"`
	Refused    []Refused `json:"refused,omitempty" doc:"keys whose value in the file is refused: the running one holds"`
}

// Refused is a key whose value in the file was refused at the last reload.
type Refused struct {
	Key     string `json:"key" doc:"as in the file"`
	Running string `json:"running" doc:"the value in force"`
	New     string `json:"new" doc:"the value in the file"`
	Why     string `json:"why" doc:"why it is refused"`
}

// Pending is a key whose value in the file, or by a flag, is not the one in force.
type Pending struct {
	Key     string `json:"key" doc:"as in the file"`
	Running string `json:"running" doc:"the value in force"`
	New     string `json:"new" doc:"the value after a restart"`
}

// States of the upstream connection.
const (
	Disconnected = "disconnected"
	Connecting   = "connecting"
	Streaming    = "streaming"
)

// Upstream is the walreceiver's side.
type Upstream struct {
	State         string    `json:"state" doc:"disconnected, connecting or streaming"`
	Endpoint      string    `json:"endpoint,omitempty" doc:"host:port or socket of the server in use or tried last"`
	Member        string    `json:"member,omitempty" doc:"member of the cluster that it is; absent: the primary"`
	Since         time.Time `json:"since,omitzero" doc:"when the state began; without a stream: the first failure"`
	LastMessageAt time.Time `json:"last_message_at,omitzero" doc:"when WAL or a keepalive came last"`
	ServerVersion string    `json:"server_version,omitempty" doc:"server_version of the upstream"`
	Slot          string    `json:"slot,omitempty" doc:"physical slot that is used there"`
	SlotState     string    `json:"slot_state,omitempty" doc:"what is known about that slot"`
	SlotFollows   string    `json:"slot_follows,omitempty" doc:"flushed: advanced by SQL; reported: a rule holds it"`
	SlotRestart   lsn.LSN   `json:"slot_restart_lsn,omitzero" doc:"from where the primary keeps WAL for us"`
	SlotHeld      int64     `json:"slot_held_bytes" doc:"how much WAL that is; an estimate if reported"`
	SlotStatus    string    `json:"slot_wal_status,omitempty" doc:"wal_status on the primary; absent if not asked"`
	SlotSafe      *int64    `json:"slot_safe_bytes,omitempty" doc:"bytes until it is lost; absent without a limit"`
	SlotXmin      uint64    `json:"slot_xmin,omitempty" doc:"xmin that it bears beside the stream, for standbys' slots"`
	SlotCatalog   uint64    `json:"slot_catalog_xmin,omitempty" doc:"the same of catalog_xmin"`
	SlotRecreated int64     `json:"slot_recreated_total" doc:"times it was made anew because it reserved nothing"`
	SlotDrops     int64     `json:"slot_drops_total" doc:"times somebody else had dropped it, or a mirror of a slot"`
	ReportedWrite lsn.LSN   `json:"reported_write_lsn,omitzero" doc:"write position the upstream was told"`
	ReportedFlush lsn.LSN   `json:"reported_flush_lsn,omitzero" doc:"flush position the upstream was told"`
	ReportedApply lsn.LSN   `json:"reported_apply_lsn,omitzero" doc:"apply position told; absent without voters"`
	ReportFollows string    `json:"report_follows,omitempty" doc:"what it follows under a rule: flushed or written"`
	Stopped       string    `json:"stopped,omitempty" doc:"why no more WAL comes without somebody's doing"`
	StoppedSince  time.Time `json:"stopped_since,omitzero" doc:"since when"`
	DownSince     time.Time `json:"down_since,omitzero" doc:"since when no server is a primary; absent: one may be"`
	RefusedSince  time.Time `json:"refused_since,omitzero" doc:"since when servers are refused for their WAL"`
	Hosts         int       `json:"hosts_count" doc:"servers that upstream.conninfo names"`
	Foreign       bool      `json:"foreign_system,omitempty" doc:"it stopped because the server is of another system"`
	Mirrors       string    `json:"mirrors,omitempty" doc:"awaited: nothing is told yet; missing: not all were made"`
	Gate          string    `json:"gate,omitempty" doc:"slots.rule_gate"`
	GateState     string    `json:"gate_state,omitempty" doc:"used, elsewhere, free, lost, missing, foreign or unknown"`
	GateRestart   lsn.LSN   `json:"gate_restart_lsn,omitzero" doc:"up to where logical consumers there get changes"`
	GateHeld      int64     `json:"gate_held_bytes,omitempty" doc:"WAL from there to the primary's end"`
	GateSafe      *int64    `json:"gate_safe_bytes,omitempty" doc:"bytes until it is lost; absent without a limit"`
	GateTaken     int64     `json:"gate_taken_total" doc:"times another session was ended to use it here"`
	Promised      lsn.LSN   `json:"promised_lsn,omitzero" doc:"highest position ever reported under a rule"`
	Lack          *Lack     `json:"lack,omitempty" doc:"known WAL without which no server is followed"`
	OtherLacks    []Lack    `json:"other_lacks,omitempty" doc:"the same of other hosts, refused beside that one"`
	LostBy        *LostBy   `json:"lost_by,omitempty" doc:"what was refused last for lost WAL; absent: one is followed"`
	Higher        *Higher   `json:"higher,omitempty" doc:"a server that shows the followed one to be an old primary"`
	Pings         int64     `json:"pings_total" doc:"replies that the upstream requested"`
	Reports       int64     `json:"reports_total" doc:"status updates sent"`
	Releases      int64     `json:"shutdown_releases_total" doc:"reports beyond the rule that let an upstream stop"`
	Reconnects    int64     `json:"reconnects" doc:"connections that were lost since the start"`
	LastError     string    `json:"last_error,omitempty" doc:"why the last connection ended or failed"`

	Errors []HostError `json:"errors,omitempty" doc:"why no WAL comes, in a short line for each host; absent: it comes"`
}

// Higher is a server on a higher timeline, on another host of conninfo, that an election would prefer.
type Higher struct {
	Host     string         `json:"host" doc:"where it is"`
	Timeline lsn.TimelineID `json:"timeline" doc:"its timeline"`
}

// Store is the walstore's side.
type Store struct {
	Dir         string         `json:"dir" doc:"data_dir"`
	System      string         `json:"system_identifier,omitempty" doc:"system identifier that the store belongs to"`
	Timeline    lsn.TimelineID `json:"timeline,omitempty" doc:"current timeline"`
	SegSize     int64          `json:"wal_segment_size,omitempty" doc:"bytes per segment file"`
	Oldest      lsn.LSN        `json:"oldest_lsn,omitzero" doc:"first position that can be served"`
	Received    lsn.LSN        `json:"received_lsn,omitzero" doc:"end of what was received"`
	Written     lsn.LSN        `json:"written_lsn,omitzero" doc:"end of what was given to the operating system"`
	Flushed     lsn.LSN        `json:"flushed_lsn,omitzero" doc:"end of what survives power loss"`
	Paused      bool           `json:"paused" doc:"true while receiving waits for the disk"`
	DiskFull    bool           `json:"disk_full" doc:"true while received WAL can't be written for lack of space"`
	RepairTo    lsn.LSN        `json:"repair_to_lsn,omitzero" doc:"end of WAL that is owed and received again"`
	HeldTo      lsn.LSN        `json:"held_to_lsn,omitzero" doc:"end of what came of it, taken once its hash is known"`
	VotedFrom   lsn.LSN        `json:"voted_from_lsn,omitzero" doc:"kept from here for standbys, as this store votes"`
	VotedBytes  int64          `json:"voted_bytes" doc:"what is kept for no other reason than that"`
	VolumeBytes int64          `json:"volume_bytes,omitempty" doc:"size of the volume of data_dir"`
	FreeBytes   int64          `json:"free_bytes" doc:"what is free on it; 0 too while volume_bytes is absent"`
}

// Standby is one row of pg_stat_replication, with the proxy's own columns at the end.
type Standby struct {
	PID             int32          `json:"pid" doc:"process ID the standby was told, unique over all sessions"`
	User            string         `json:"usename" doc:"role it logged in as"`
	ApplicationName string         `json:"application_name" doc:"as given by the standby"`
	Label           string         `json:"-"` // for /metrics: see [Tallies]
	ClientAddr      string         `json:"client_addr,omitempty" doc:"its address; absent for a unix socket"`
	BackendStart    time.Time      `json:"backend_start,omitzero" doc:"when it connected"`
	State           string         `json:"state" doc:"startup, catchup, streaming or stopping"`
	Sent            lsn.LSN        `json:"sent_lsn,omitzero" doc:"end of what was sent"`
	Write           lsn.LSN        `json:"write_lsn,omitzero" doc:"as reported by the standby"`
	Flush           lsn.LSN        `json:"flush_lsn,omitzero" doc:"as reported by the standby"`
	Replay          lsn.LSN        `json:"replay_lsn,omitzero" doc:"as reported by the standby"`
	WriteLag        *float64       `json:"write_lag,omitempty" doc:"seconds from sending to write; absent when unknown"`
	FlushLag        *float64       `json:"flush_lag,omitempty" doc:"seconds from sending to its flush"`
	ReplayLag       *float64       `json:"replay_lag,omitempty" doc:"seconds from sending to its replay"`
	ReplyTime       time.Time      `json:"reply_time,omitzero" doc:"when its last report came"`
	SyncState       string         `json:"sync_state" doc:"async, potential, sync or quorum, by this proxy's rule"`
	SyncPriority    int            `json:"sync_priority" doc:"by this proxy's rule; 0 is async"`
	Timeline        lsn.TimelineID `json:"timeline,omitempty" doc:"timeline it streams"`
	Slot            string         `json:"slot_name,omitempty" doc:"slot it uses here"`
	Xmin            uint64         `json:"backend_xmin,omitempty" doc:"its newest hot_standby_feedback, as xid8"`
	CatalogXmin     uint64         `json:"catalog_xmin,omitempty" doc:"the same for catalogs"`
	LagBytes        int64          `json:"lag_bytes" doc:"received here, but not yet flushed there"`
	SendWhen        string         `json:"send_when,omitempty" doc:"covered: held at what the rule covers"`
	Covered         lsn.LSN        `json:"covered_lsn,omitzero" doc:"how far it may be sent WAL then"`
	HeldBytes       int64          `json:"held_bytes,omitempty" doc:"received here and held back from it then"`
}

// Slot is one row of pg_replication_slots.
type Slot struct {
	Name      string  `json:"slot_name" doc:"name"`
	Type      string  `json:"slot_type" doc:"physical"`
	Temporary bool    `json:"temporary" doc:"ends with its session"`
	Active    bool    `json:"active" doc:"a session uses it"`
	ActivePID int32   `json:"active_pid,omitempty" doc:"process ID of that session"`
	Restart   lsn.LSN `json:"restart_lsn,omitzero" doc:"oldest WAL it holds; absent when it reserves nothing"`
	HeldBytes int64   `json:"held_bytes" doc:"WAL from restart_lsn to the end of what was received"`
	Status    string  `json:"wal_status,omitempty" doc:"reserved (within keep_size), extended, unreserved or lost"`
	Safe      *int64  `json:"safe_wal_size,omitempty" doc:"bytes until it is lost; absent without a limit"`
	Reason    string  `json:"invalidation_reason,omitempty" doc:"why it is lost: wal_removed or idle_timeout"`

	InactiveSince time.Time `json:"inactive_since,omitzero" doc:"when its last session ended, or the proxy started"`

	Xmin        uint64 `json:"xmin,omitempty" doc:"oldest transaction it holds, as xid8"`
	CatalogXmin uint64 `json:"catalog_xmin,omitempty" doc:"the same for catalogs"`
	Real        string `json:"real,omitempty" doc:"the primary's slot of the same name: adopted or mirrored"`

	Owner       string   `json:"owner,omitempty" doc:"member whose session used it last; absent without a cluster"`
	KeptBy      []string `json:"kept_by,omitempty" doc:"members that are heard and keep its WAL"`
	Unconfirmed []string `json:"unconfirmed,omitempty" doc:"members that may not know whose it is now"`
}

// Idle is a slot of the primary that holds WAL there while nobody streams from it there.
type Idle struct {
	Name      string  `json:"slot_name" doc:"name"`
	Type      string  `json:"slot_type" doc:"physical or logical"`
	Restart   lsn.LSN `json:"restart_lsn,omitzero" doc:"oldest WAL that the primary keeps for it"`
	HeldBytes int64   `json:"held_bytes" doc:"WAL from there to the primary's end"`
	Status    string  `json:"wal_status,omitempty" doc:"as the primary shows it"`
	Real      string  `json:"real,omitempty" doc:"adopted or mirrored by this proxy; absent: not here"`
	Member    string  `json:"member,omitempty" doc:"the member, if it is heard, that advances it as its own"`
	Absent    string  `json:"absent_member,omitempty" doc:"the member, if it is not heard, that goes on from it"`
}

// Feedback is hot_standby_feedback of all standbys together. Transactions are xid8.
type Feedback struct {
	Settled       bool     `json:"settled" doc:"feedback.settle has passed: all count, not slots alone"`
	Xmin          uint64   `json:"xmin,omitempty" doc:"oldest transaction that a standby or slot needs"`
	XminOf        string   `json:"xmin_of,omitempty" doc:"the standby or slot that pins it"`
	CatalogXmin   uint64   `json:"catalog_xmin,omitempty" doc:"the same for catalogs"`
	CatalogXminOf string   `json:"catalog_xmin_of,omitempty" doc:"the standby or slot that pins it"`
	NextXID       uint64   `json:"next_xid,omitempty" doc:"next transaction of the primary; absent while not known"`
	LeftOut       []string `json:"left_out,omitempty" doc:"standbys whose values the primary would refuse"`
	Capped        []string `json:"capped,omitempty" doc:"standbys that asked for more than feedback.max_age"`
	LeftOutTotal  uint64   `json:"left_out_total" doc:"values that began to be left out since the start"`
}

// Origin is one place that WAL comes from. The counters are since the start.
type Origin struct {
	Source    string `json:"source" doc:"fenced member, chosen member, any member, primary or archive"`
	Streams   bool   `json:"streams" doc:"the stream comes from there now"`
	Opened    int64  `json:"streams_total" doc:"times that the stream was asked for there"`
	Fetched   int64  `json:"fetched_bytes_total" doc:"whole segments that came from there"`
	LastError string `json:"last_error,omitempty" doc:"of the last stream or segment there; absent after one that came"`
}

// Backfill is WAL that is fetched because a standby asks for it and the store lacks it. The counters
// begin with the process.
type Backfill struct {
	Active    bool   `json:"active" doc:"a fetch is going on"`
	Waiting   int    `json:"waiting" doc:"segments that standbys wait for now"`
	Segments  int64  `json:"segments_total" doc:"segments fetched"`
	Bytes     int64  `json:"bytes_total" doc:"bytes of them"`
	Damaged   int64  `json:"damaged_total" doc:"stored segments that were found damaged"`
	Failed    int64  `json:"failed_total" doc:"segments that neither the primary nor the archive had"`
	LastError string `json:"last_error,omitempty" doc:"why a segment could not be had"`
}

// Sessions counts client connections by class.
type Sessions struct {
	Regular   int   `json:"regular" doc:"relayed backends now"`
	Physical  int   `json:"physical" doc:"physical walsenders now"`
	Logical   int   `json:"logical" doc:"relayed logical walsenders now"`
	StartingN int   `json:"starting" doc:"connections in the startup phase now"`
	Accepted  int64 `json:"accepted_total" doc:"connections accepted since the start"`
	Refused   int64 `json:"refused_total" doc:"connections refused since the start"`
	// RefusedBy has an entry for each of RefusalReasons.
	RefusedBy map[string]int64 `json:"refused_by_reason" doc:"the same by reason, as in docs/metrics.md"`
	// LoginFailures are those of class 28.
	LoginFailures int64 `json:"login_failures_total" doc:"log-ins that failed for who the client is (class 28)"`
	LoggingIn     int   `json:"logging_in" doc:"relayed log-ins that hold a connection to the primary"`
	Waiting       int   `json:"waiting_to_log_in" doc:"log-ins that wait for limits.max_logins"`
}

// Limits are the bounds an operator may run into.
type Limits struct {
	KeepSize              int64   `json:"keep_size" doc:"wal.keep_size in bytes"`
	MinFree               int64   `json:"min_free" doc:"wal.min_free of this volume in bytes"`
	MaxConnections        int     `json:"max_connections" doc:"sessions at a time, and as many walsenders again"`
	MaxPerAddress         int     `json:"max_connections_per_address" doc:"of these from one address"`
	MaxLogins             int     `json:"max_logins" doc:"log-ins that may hold a connection to the primary"`
	MaxUpstreamWalsenders int     `json:"max_upstream_walsenders" doc:"log-ins that may hold one of the primary's"`
	WalReceiverTimeout    float64 `json:"wal_receiver_timeout" doc:"seconds of silence that end a connection"`
}
