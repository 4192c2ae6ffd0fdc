package proxy

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/proxy/relay"
)

// PhysicalHandler serves physical walsenders.
//
// ServeWalsender is called in the session's own goroutine, after the startup packet has been read and before a byte
// has been answered. It blocks until the session is over. It need not close req.Conn: the server does when it returns,
// and earlier to end a session by force. An error that has not been told to the client yet is returned wrapped in
// [Tell]; other errors are logged only. ctx ends when the server has drained everything else. The handler then sends
// the rest of the WAL and returns, as a postmaster's walsenders do last.
type PhysicalHandler interface {
	ServeWalsender(ctx context.Context, req *handshake.Request, s *Session) error
}

// ConsoleDatabase is the name of the database that opens the console.
const ConsoleDatabase = "replproxy"

// ConsoleHandler serves the console; what is said of PhysicalHandler holds.
type ConsoleHandler interface {
	ServeConsole(ctx context.Context, req *handshake.Request, s *Session) error
}

// DatabaseHandler serves logical walsenders (replication=database) after their log-in: it passes on what is the
// primary's and answers what is this proxy's (ruling R35). ServeDatabase blocks until the session is over; what is
// said of the error of PhysicalHandler holds. Both connections stay the server's to close, and are closed
// when ctx ends.
type DatabaseHandler interface {
	ServeDatabase(ctx context.Context, req *handshake.Request, s *Session, legs relay.Legs) error
}

// Dialer opens connections to the current primary, encrypted as configured, with no startup packet
// sent. It tries again for as long as wait while there is none, and once in any case. It is called from many
// goroutines; ctx bounds the whole.
type Dialer interface {
	Dial(ctx context.Context, wait time.Duration) (*relay.Upstream, error)
}

// DialerFunc is a function as a Dialer.
type DialerFunc func(ctx context.Context, wait time.Duration) (*relay.Upstream, error)

// Dial calls f.
func (f DialerFunc) Dial(ctx context.Context, wait time.Duration) (*relay.Upstream, error) {
	return f(ctx, wait)
}

// Access decides who may come in and who verifies him. It is called from many goroutines, never for a cancel request
// nor a member of the cluster. listener is a [Listener]'s address, "" for other listeners.
type Access interface {
	Decide(listener string, r *handshake.Request) access.Decision
}
