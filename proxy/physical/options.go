package physical

import (
	"errors"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/gate"
)

const (
	// DefaultIdleKeep is the time for which the connection to the primary of a silent, logged-in session is kept for
	// commands that only the primary answers. Tools send their next command within milliseconds; a person at a prompt
	// may lose it and is told to reconnect.
	DefaultIdleKeep = 10 * time.Second
	// idleGrace is the time for which it is kept even when others wait for a place: BASE_BACKUP follows the log-in by
	// a few round trips.
	idleGrace = 500 * time.Millisecond
	// spareGrace is the time for which it is kept when others wait once a client has begun as a standby does, by
	// IDENTIFY_SYSTEM: START_REPLICATION is next, and needs none. A program that is near gets its BASE_BACKUP through
	// all the same.
	spareGrace = 20 * time.Millisecond
	// startGrace is the time for which it is kept after START_REPLICATION when nobody waits: a start that fails does
	// so at once, and on a busy machine a moment later.
	startGrace = time.Second
	// answerDue is the time for which a client may think about a question of the primary while others wait, or the
	// walreceiver does. Its walsender is taken from them, and it has proved nothing yet.
	answerDue = 5 * time.Second
	// dialTimeout bounds one way to the primary, all its hosts included.
	dialTimeout = 10 * time.Second
	// fullFor bounds how long a log-in that found no free walsender (53300) is tried again (ruling R31).
	fullFor = 5 * time.Second
	// retryFirst and retryMax bound the wait before a log-in that found no free walsender (53300) is tried again. It
	// is short, for a walsender that is just ending, and never causes a flood of forks.
	retryFirst = 50 * time.Millisecond
	retryMax   = time.Second
	// closeTimeout bounds the wait for the primary to end its side. When it has, its walsender is
	// free for the next log-in.
	closeTimeout = time.Second
	// cancelTimeout bounds passing a CancelRequest on.
	cancelTimeout = 5 * time.Second
	// DefaultWalSenderTimeout is PostgreSQL's wal_sender_timeout.
	DefaultWalSenderTimeout = time.Minute
	// maxQuery is the longest text of a command. Real ones have a few hundred bytes.
	maxQuery = 1 << 20
	// maxShort is PostgreSQL's limit of the bodies of messages that have little to say: 10000 bytes with
	// their length.
	maxShort = 10000 - 4
	// maxSmall is the longest body of a message of the primary that is looked at rather than passed
	// on piecemeal: errors and parameters.
	maxSmall = 64 << 10
	// maxParameters bounds the ParameterStatus messages of the primary that are remembered; servers send about fifteen.
	maxParameters = 64
)

// DefaultMaxUpstreamWalsenders bounds the log-ins of walsenders that hold a connection to the primary
// (auth.max_upstream_walsenders). Each takes a walsender there before it has proved anything (facts A6), and the
// primary has ten by default.
const DefaultMaxUpstreamWalsenders = 2

// NewGate admits at most max log-ins at a time; below 1 means [DefaultMaxUpstreamWalsenders]. Until
// SetPrimaryMax has been called it is one: the primary may have no more than two walsenders.
func NewGate(max int) *gate.Gate {
	if max < 1 {
		max = DefaultMaxUpstreamWalsenders
	}
	g := gate.New(max)
	g.SetPrimaryMax(2)
	return g
}

// Options of a [Handler]. Hub, Upstream, Gate and Logger are required, other zero values mean the
// defaults.
type Options struct {
	Hub      Hub
	Upstream proxy.Dialer
	Gate     *gate.Gate
	// Settings may be nil: then SHOW is answered by the session's own connection only.
	Settings Settings
	// Parameters returns the parameters that the primary reports, for members of the cluster; nil serves none.
	Parameters func() map[string]string
	// Stored returns the parameters and settings of the primary that the stored WAL tells. They serve members of the
	// cluster until the primary has told its own. nil: there are none.
	Stored func() (parameters, settings map[string]string)
	// Followed judges the servers that sessions are connected to; nil: all belong to the stored WAL.
	Followed Followed
	// Console makes the sessions of ServeConsole.
	Console Console
	// OwnSlots are the names of the proxy's own slots on the primary; "" names none.
	OwnSlots []string
	// AskPrimary has the primary judge the settings of clients that were verified here; nil: they are taken as they
	// are.
	AskPrimary AskPrimary
	// Reserved reports whether an application_name is one under which reports count: of this proxy, of another member,
	// of a rule. Nobody but its owner may stream from the primary under it. nil: none is.
	Reserved func(applicationName string) bool
	// Voters says whose the names of voters are; nil: everybody's. It is asked at each START_REPLICATION.
	Voters func() *access.Voters
	Logger *slog.Logger

	// ConnectWait returns the time for which a client waits while the proxy has yet to hear from its primary; nil: not
	// at all.
	ConnectWait func() time.Duration
	// Finding reports whether the primary is still being looked for while WAL comes from a member of the cluster. A
	// log-in then waits for ConnectWait until it is known. Else it does not wait: most walsenders come again by
	// themselves. nil: it is not.
	Finding func() bool
	// AuthenticationTimeout bounds a log-in, the wait at the gate included.
	AuthenticationTimeout time.Duration
	// IdleKeep replaces DefaultIdleKeep.
	IdleKeep time.Duration
}

func (o *Options) complete() error {
	if o.Hub == nil || o.Upstream == nil || o.Gate == nil || o.Logger == nil {
		return errors.New("make walsender handler: hub, upstream, gate and logger are required")
	}
	if o.AuthenticationTimeout == 0 {
		o.AuthenticationTimeout = handshake.DefaultAuthenticationTimeout
	}
	if o.IdleKeep == 0 {
		o.IdleKeep = DefaultIdleKeep
	}
	if o.ConnectWait == nil {
		o.ConnectWait = func() time.Duration { return 0 }
	}
	if o.Finding == nil {
		o.Finding = func() bool { return false }
	}
	if o.Reserved == nil {
		o.Reserved = func(string) bool { return false }
	}
	if o.Voters == nil {
		o.Voters = func() *access.Voters { return nil }
	}
	if o.Settings == nil {
		o.Settings = func() map[string]string { return nil }
	}
	return nil
}
