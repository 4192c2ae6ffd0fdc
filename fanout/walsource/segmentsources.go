package walsource

import (
	"context"
	"sync/atomic"

	"github.com/replproxy/replproxy/fanout/backfill"
)

// OlderSegments is a [Source] of segments that are older than the store, or damaged in it. It opens no stream: the one
// to a member is [MemberStream]'s, and the one to the primary goes by the election among its hosts. WAL that continues
// the store is streamed, so it gives none.
type OlderSegments struct {
	On   Rung
	From backfill.Source
}

// Rung names the place.
func (o *OlderSegments) Rung() Rung { return o.On }

// Stream returns nil, nil: this source has no stream.
func (o *OlderSegments) Stream(context.Context, map[string]string) (Conn, error) { return nil, nil }

// Segments returns the giver of segments that are older than the store; nil with ahead, for those that continue it.
func (o *OlderSegments) Segments(ahead bool) backfill.Source {
	if ahead {
		return nil
	}
	return o.From
}

// ArchiveSegments is a [Source] of segments by wal.restore_command, older than the store or such as continue it. Any
// goroutine may call its methods.
type ArchiveSegments struct {
	dir     string
	command atomic.Pointer[string]
}

// NewArchive returns a source that runs command; "": it has no segments. Files lie in dir until they are imported.
func NewArchive(dir, command string) *ArchiveSegments {
	a := &ArchiveSegments{dir: dir}
	a.SetCommand(command)
	return a
}

// SetCommand changes the command for what is asked from now on.
func (a *ArchiveSegments) SetCommand(command string) { a.command.Store(&command) }

// Rung names the place.
func (a *ArchiveSegments) Rung() Rung { return RungArchive }

// Stream returns nil, nil: this source has no stream.
func (a *ArchiveSegments) Stream(context.Context, map[string]string) (Conn, error) { return nil, nil }

// Segments returns the giver of segments, with ahead of those that continue the store; nil: there is no command.
func (a *ArchiveSegments) Segments(ahead bool) backfill.Source {
	command := *a.command.Load()
	if command == "" {
		return nil
	}
	from := &backfill.Archive{Command: command, Dir: a.dir}
	if ahead { // both may run at once, and each has a file of its own
		from.Prefix = "forward"
	}
	return from
}
