package physical

import (
	"context"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

// Hub serves a physical walsender from this proxy's own store and slots; [fanout.Hub] is one. Methods are called from
// many sessions at once. Errors that the client shall see are *pgerror.Error; any other becomes XX000.
type Hub interface {
	Identify() (fanout.Identity, error)
	Fetchable() (fanout.Identity, error) // Identify for wal-fetch
	TimelineHistory(tli lsn.TimelineID) (name string, content []byte, err error)
	// CreateSlot and ReadSlot may ask the primary; ctx ends that.
	CreateSlot(ctx context.Context, r fanout.SlotRequest, pid int32) error
	ReadSlot(ctx context.Context, name string) (fanout.SlotState, bool, error)
	HasSlot(ctx context.Context, name string) bool
	// DropSlot may wait as long as another session uses the slot; ctx ends that.
	DropSlot(ctx context.Context, name string, wait bool, pid int32) error
	// DropTemporary is called after every ERROR and at the end of a session.
	DropTemporary(pid int32)
	// BackupBegins is told that a base backup runs for a client, until end is called.
	BackupBegins(s fanout.SessionInfo) (end func())
	// Yields returns why a standby of that application_name is to log in at another member; nil: it is served here.
	Yields(applicationName string) error
	// StartReplication is the whole of COPY BOTH. It returns with conn's deadlines at none and its
	// reader between two frames, unless the error is fanout.ErrSessionOver.
	StartReplication(
		ctx context.Context, r fanout.StartRequest, s fanout.SessionInfo, conn fanout.Conn,
	) (*fanout.NextTimeline, error)
}

// Settings are the primary's settings as SHOW prints them, by their canonical names; the walreceiver
// keeps them. The map is not changed after it was returned. Nil or empty: nothing is known yet.
type Settings func() map[string]string

// AskPrimary runs one query in an SQL session of its own on the primary and gives the values of its first row. What the
// primary refuses is a *pgerror.Error. It blocks, at most as long as ctx.
type AskPrimary func(ctx context.Context, query string) ([]string, error)

// Session gives the server's knowledge of a connection; [proxy.Session] is one.
type Session interface {
	ID() proxy.SessionID
	PID() int32
	Access() access.Decision
	PhysicalAccess() access.Decision
	Verified() *roles.Verified
	Origin() string
	Proved()
	Refused(*pgerror.Error)
	SetState(proxy.State)
	SetApplicationName(string)
	SetUpstream(*relay.Upstream)
	OnCancel(key []byte, f func()) (withdraw func())
}
