package walreceiver

import (
	"context"
	"io"
	"time"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// Conn is a connection to whoever sends WAL. It is the walreceiver API of PostgreSQL, whose README
// (src/backend/replication) has connect, receive, send and disconnect; whoever logs in, or opens a directory, has
// connected. [Session] is the one over PostgreSQL's protocol. Sockets are known to implementations only.
//
// Methods are called by one goroutine. Between Start and End others call Send, Offer and Finish, one at a time, and
// any calls Interrupt.
// An error that is no *pgerror.Error leaves a Conn unusable but for Disconnect.
type Conn interface {
	// Endpoint returns the endpoint of the server, with the address that was reached. It is the same for the life of
	// the Conn.
	Endpoint() upstream.Endpoint
	// Parameters returns the ParameterStatus messages of the server, by name. The map is the Conn's: it may change with
	// Receive.
	Parameters() map[string]string

	// Start asks for WAL from p on, with a slot unless it is "". copying false: the timeline ends at p, and next
	// follows. A refusal of the server is a *pgerror.Error, after which Start may be called again.
	Start(ctx context.Context, slot string, p StartPoint) (copying bool, next StartPoint, err error)
	// Receive blocks until a message has come, or Interrupt is called. Of WAL it returns the header; the WAL itself is
	// read from the Conn before Receive is called again.
	Receive() (Message, error)
	io.Reader
	// Send sends a message of the standby, a status update or feedback. It blocks for patience at most.
	Send(message []byte, patience time.Duration) error
	// Offer sends as much of a message as goes out at once. all is false while a rest of it is left, which may be the
	// whole: then Finish comes next, and no other message before it. Offer blocks only where the system has said that
	// it does not, and for patience at most.
	Offer(message []byte, patience time.Duration) (all bool, err error)
	// Finish sends the rest that Offer has left. It blocks for patience at most.
	Finish(patience time.Duration) error
	// Interrupt makes a Receive or Read that blocks return an error, and all that follow.
	Interrupt()
	// End answers the end of a timeline, for which Receive returned 'c', and returns what follows it.
	End(ctx context.Context, patience time.Duration) (next StartPoint, err error)
	// Leave ends a stream in order: all that was sent has been read when it returns, or the server was too slow.
	Leave()
	// Disconnect closes the connection. It may be called more than once.
	Disconnect() error

	// Slots returns how to speak about slots of a server of that server_version_num; nil: it has none.
	Slots(version int) Slots
}

// Slots speaks about physical slots of one server.
type Slots interface {
	// Read asks for a slot. A slot that reserves nothing has no position.
	Read(ctx context.Context, name string) (found bool, at SlotStart, err error)
	// Create makes a slot that reserves WAL; false: there is one already.
	Create(ctx context.Context, name string) (created bool, err error)
	// Drop drops a slot. One that is missing is no error.
	Drop(ctx context.Context, name string) error
}
