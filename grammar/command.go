package grammar

import "github.com/replproxy/replproxy/grammar/lsn"

// Command is one replication command. The types below are all there are; each is used as a pointer.
type Command interface {
	// Tag is the command's keyword. CommandComplete carries it too, except for BASE_BACKUP, whose
	// tag is SELECT (facts D).
	Tag() string
	render(*renderer)
}

// IdentifySystem asks for the system identifier, the timeline and the current position.
type IdentifySystem struct{}

// Show asks for a setting. Name is as written, dotted parts joined; "all" means every setting.
type Show struct{ Name string }

// TimelineHistory asks for the history file of Timeline, which is never 0.
type TimelineHistory struct{ Timeline lsn.TimelineID }

// ReadSlot asks for type and restart_lsn of a slot (15 and later). Dotted names parse, no slot has one.
type ReadSlot struct{ Name string }

// CreateSlot makes a slot. The name is not validated: see [ValidateSlotName].
type CreateSlot struct {
	Name       string
	Temporary  bool
	Logical    bool
	Plugin     string   // logical only
	ReserveWAL bool     // physical only
	Snapshot   Snapshot // logical only; what was not given is SnapshotExport
	TwoPhase   bool     // logical only, 15 and later
	Failover   bool     // logical only, 17 and later
}

// Snapshot names the treatment of a logical slot's initial snapshot by CREATE_REPLICATION_SLOT.
type Snapshot string

// The snapshot actions, spelled as in the option list. A physical slot has none, the zero value.
const (
	SnapshotExport  Snapshot = "export"
	SnapshotNothing Snapshot = "nothing"
	SnapshotUse     Snapshot = "use"
)

// DropSlot drops a slot; Wait waits until nobody uses it, otherwise an active slot is 55006.
type DropSlot struct {
	Name string
	Wait bool
}

// AlterSlot changes a logical slot (17 and later).
type AlterSlot struct {
	Name     string
	Failover Setting
	TwoPhase Setting // 18 and later
}

// Setting is a Boolean option that may be absent.
type Setting uint8

// The values of a Setting.
const (
	Unset Setting = iota
	Off
	On
)

// StartPhysical starts a physical stream at At. Timeline 0 means the server's current one.
type StartPhysical struct {
	Slot     string
	WithSlot bool // SLOT was written; SLOT "" names a slot that cannot exist
	At       lsn.LSN
	Timeline lsn.TimelineID
}

// StartLogical starts logical decoding from a slot.
type StartLogical struct {
	Slot    string
	At      lsn.LSN
	Options []PluginOption
}

// PluginOption is an option for the output plugin. Order and repetition are the plugin's business.
type PluginOption struct {
	Name     string
	Value    string
	HasValue bool
}

// BaseBackup asks for a base backup. Fields hold what is in force, defaults included.
type BaseBackup struct {
	Label             string // "base backup" when not given
	Progress          bool
	FastCheckpoint    bool
	NoWait            bool
	WAL               bool
	Incremental       bool   // 17 and later
	MaxRate           uint32 // kB/s, 0: not limited
	TablespaceMap     bool
	NoVerifyChecksums bool
	Manifest          Manifest
	ManifestChecksums string  // NONE, CRC32C (the default), SHA224, SHA256, SHA384, SHA512; NONE without manifest
	Target            *string // 15 and later, nil: the client
	TargetDetail      *string
	Compression       *string // none, gzip, lz4 or zstd (15 and later), nil: not given
	CompressionDetail *string
}

// Manifest says whether a base backup comes with a backup manifest.
type Manifest string

// The manifest options.
const (
	ManifestNo          Manifest = "no"
	ManifestYes         Manifest = "yes"
	ManifestForceEncode Manifest = "force-encode"
)

// UploadManifest starts the upload of a manifest for an incremental backup (17 and later).
type UploadManifest struct{}

// Tag implements [Command].
func (*IdentifySystem) Tag() string { return "IDENTIFY_SYSTEM" }

// Tag implements [Command].
func (*Show) Tag() string { return "SHOW" }

// Tag implements [Command].
func (*TimelineHistory) Tag() string { return "TIMELINE_HISTORY" }

// Tag implements [Command].
func (*ReadSlot) Tag() string { return "READ_REPLICATION_SLOT" }

// Tag implements [Command].
func (*CreateSlot) Tag() string { return "CREATE_REPLICATION_SLOT" }

// Tag implements [Command].
func (*DropSlot) Tag() string { return "DROP_REPLICATION_SLOT" }

// Tag implements [Command].
func (*AlterSlot) Tag() string { return "ALTER_REPLICATION_SLOT" }

// Tag implements [Command].
func (*StartPhysical) Tag() string { return "START_REPLICATION" }

// Tag implements [Command].
func (*StartLogical) Tag() string { return "START_REPLICATION" }

// Tag implements [Command].
func (*BaseBackup) Tag() string { return "BASE_BACKUP" }

// Tag implements [Command].
func (*UploadManifest) Tag() string { return "UPLOAD_MANIFEST" }
