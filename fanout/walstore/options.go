package walstore

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// FS is the file system a store lives on; see package vfs.
type FS = vfs.FS

// The bounds of a store.
const (
	// BlockSize is the unit in which the tail takes and frees memory. A block is made once per eight of the largest
	// messages (128 KiB). It divides every segment, so that no block lies in two files.
	BlockSize = 1 << 20
	// DefaultTailSize bounds the newest WAL in memory, in bytes. It is half a second of WAL at the 128 MB/s of a busy
	// primary, so that a standby which pauses for less never reads from disk.
	DefaultTailSize = 64 << 20
	// MinTailSize leaves room for a message that lies in two blocks while two others are written.
	MinTailSize = 4 * BlockSize
	// MaxMessage bounds AppendFrom: a walsender sends at most 128 KiB (facts E4), and a message
	// must fit in the smallest tail with room to spare.
	MaxMessage = 1 << 20

	// bigSegment is the size from which only one spare segment is kept ready.
	bigSegment = 128 << 20
	// maxRecycled bounds the removed segments kept for reuse, as the disk space they hold is
	// nobody's.
	maxRecycled = 4
	// maxUnsynced bounds the segment files that are written and not yet synced, each an open descriptor. While an fsync
	// hangs the writer waits at this number. The stream waits once the tail is full.
	maxUnsynced = 32
	// maxAhead bounds how far the mark is ahead of what is synced, and with it what a start may find owed.
	maxAhead = 1 << 20
	// printReach bounds how far back from a mark the end of a record is looked for, to name it. It is read from memory
	// with each mark under load, and a longer record is rare.
	printReach = 16 * lsn.PageSize
	// noSpaceRetry spaces the writer's tries on a full disk: soon enough to use space that is freed, late enough not to
	// spin.
	noSpaceRetry = time.Second
	// retentionInterval spaces the removals of segments while no segment is completed: slots move while WAL does not.
	retentionInterval = 10 * time.Second
)

// spareTarget returns how many segment files are kept ready: one that is put in place while the next is made. One big
// file is enough, because it takes long to fill.
func spareTarget(size lsn.SegSize) int {
	if size >= bigSegment {
		return 1
	}
	return 2
}

// Options configures a store. Only Dir is mandatory.
type Options struct {
	// Dir is the data directory. WAL goes to Dir/wal; the store owns Dir/lock, Dir/replproxy.meta
	// and Dir/diverged too. Others may add files of their own once Open returned.
	Dir string
	// SetAside returns the WAL that Open sets aside before it reads any. It is asked while the directory is locked. The
	// mark says that the stored WAL ends at end, whose System is 0; zero: there is no mark. nil: nothing is set aside.
	SetAside func(end lsn.Point) (Aside, error)
	// FS is the file system; nil is the operating system's.
	FS FS
	// TailSize bounds the memory of the tail in bytes; 0 is DefaultTailSize.
	TailSize int64
	// KeepSize keeps this many bytes of WAL before the received end although nobody needs them (keep_size).
	KeepSize int64
	// Short reports that the volume has too little free. While it does, readers hold no WAL: a slow
	// one must not fill the disk. Slots and KeepSize still do. It may look at the disk; nil is never.
	Short func() bool
	// Logger logs errors and events that the store handles itself; nil discards them.
	Logger *slog.Logger
}

// Aside is all stored WAL, because an operator has given some of it up (ruling R32). The zero value is none.
type Aside struct {
	Name string    // of the folder below Dir/diverged. Where an Open was cut short the next one moves the rest
	From lsn.Point // where what is given up begins; LSN Invalid: not known
	Has  lsn.LSN   // up to there a promise holds, of the WAL that comes instead
}

func (o *Options) applyDefaults() error {
	if o.Dir == "" {
		return fmt.Errorf("open store: no data directory given")
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.TailSize == 0 {
		o.TailSize = DefaultTailSize
	}
	if o.TailSize < MinTailSize {
		return fmt.Errorf("open store: a tail of %d bytes is too small, the minimum is %d", o.TailSize, MinTailSize)
	}
	if o.KeepSize < 0 {
		return fmt.Errorf("open store: negative keep size %d", o.KeepSize)
	}
	if o.SetAside == nil {
		o.SetAside = func(lsn.Point) (Aside, error) { return Aside{}, nil }
	}
	if o.Short == nil {
		o.Short = func() bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Identity names the system and the format of WAL. Only WAL of one identity can be compared.
type Identity struct {
	System      lsn.SystemID
	SegSize     lsn.SegSize
	ServerMajor int // 14 to 18; the magic of WAL pages is per major
}

// Positions holds the positions of the store, all at one moment. Always Oldest ≤ Flushed ≤ Reportable ≤ Written ≤
// Received and Complete ≤ Received. All are Invalid, and Timeline 0, until the first stream began.
type Positions struct {
	Timeline lsn.TimelineID
	Oldest   lsn.LSN // the first position from which everything up to Received can be read
	Received lsn.LSN // in memory
	Written  lsn.LSN // write(2) returned: survives the end of the process
	Flushed  lsn.LSN // fsynced, and so is the mark that says so: survives power loss
	// Reportable is the end of what a primary may be told under a rule: Flushed, or more after [Store.ReportWritten].
	Reportable lsn.LSN
	// Complete is the end of the last complete record at or below Received (ruling R36). Beyond it lies the beginning
	// of a record, on which no commit can rest. Before the first record's end it is the position where the store
	// begins.
	Complete lsn.LSN
}
