package physical

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

const (
	// primaryBuffer is the size of one read of a primary that streams changes.
	primaryBuffer = 64 << 10
	// leaveTimeout bounds the time for the client to close after the primary has, and for the primary to end after the
	// client broke: its last bytes may still be unread.
	leaveTimeout = 10 * time.Second
	// maxHeld bounds the primary's unasked messages, parameters and notices, while a command is answered here.
	maxHeld = 64 << 10
)

var _ proxy.DatabaseHandler = (*Handler)(nil)

// database is a session of replication=database (ruling R35). Its client speaks to the primary; what is this
// proxy's is taken out and answered here. Two goroutines run it:
//
//	client ──► listen ──► talk: whose turn is it? ──► judge ──┬─ this proxy's ──► session.execute
//	                       ▲                                  └─ all else ──────► primary
//	client ◄── hear ◄──────┴───────────────────────────────────────────────────── primary
type database struct {
	s    *session
	legs relay.Legs
	up   net.Conn
	// waits ends when nobody waits for the primary's answers any more.
	waits context.Context

	out []byte                // for the primary, not yet written; owned by listen
	at  walsource.Whereabouts // of the primary, as far as it has been asked; owned by listen

	mu      sync.Mutex
	changed *sync.Cond // of what mu guards
	talk    *talk
	params  map[string]string // as the primary reports them
	// writing: hear writes to the client. answering: the session does, and what hear has is held.
	writing, answering bool
	held               []byte
	own                *ownQuery // an exchange of our own with the primary; nil: none
	backup             *backup   // whose answer is heard; nil: none
	backupEnds         func()    // of the hub, while there is one
	ended              bool      // the primary says no more
	endErr             error     // why; nil: it ended in order
}

// ServeDatabase serves a logical walsender that has logged in. An error that is owed to the client is marked by
// proxy.Tell.
func (h *Handler) ServeDatabase(ctx context.Context, req *handshake.Request, server *proxy.Session,
	legs relay.Legs) error {
	s := &session{
		h: h, req: req, server: server, started: time.Now(),
		client: &client{
			conn: legs.Client,
			r:    wire.NewReader(io.MultiReader(bytes.NewReader(legs.ClientAhead), legs.Client), clientReadAhead),
		},
		parameters: maps.Clone(legs.Parameters),
	}
	d := &database{s: s, legs: legs, up: legs.Upstream, talk: newTalk(), params: maps.Clone(legs.Parameters)}
	d.at.Endpoint, d.at.Virtual = legs.Endpoint, legs.PID > highestPID
	d.changed = sync.NewCond(&d.mu)
	s.database = d
	defer h.o.Hub.DropTemporary(server.PID())
	var err error
	if s.version, err = serverVersion(s.parameters["server_version"]); err != nil {
		return proxy.Tell(errUnknownVersion(err))
	}
	server.SetApplicationName(s.parameters["application_name"])
	server.OnCancelHere(s.cancelled)
	return d.serve(ctx)
}

// endBackup notes that no base backup runs. The caller holds mu.
func (d *database) endBackup() {
	if d.backup != nil {
		d.backup = nil
		d.backupEnds()
	}
}

// serve runs both directions until both have ended, or ctx ends. It closes neither connection. nil: it ended in order.
// An error that the client has to be told is marked by [proxy.Tell].
func (d *database) serve(ctx context.Context) error {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.endBackup()
	}()
	stop := deadline.By(ctx, func(at time.Time) error {
		err := errors.Join(d.legs.Client.SetDeadline(at), d.up.SetDeadline(at))
		d.s.interrupt(errShutdown())
		return err
	})
	waits, left := context.WithCancel(ctx)
	defer left()
	d.waits = waits
	heard := make(chan error, 1)
	go func() {
		err := relay.Contained(d.hear)
		d.end(err)
		heard <- err
	}()
	said := relay.Contained(func() error { return d.listen(ctx) })
	var owed *pgerror.Error
	switch {
	case said == nil:
		_ = hangup.EndSide(d.up) // which may still answer
	case errors.As(said, &owed), errors.Is(said, errOver), errors.Is(said, errClientGone):
		left()
		_ = d.up.SetDeadline(deadline.Past()) // nobody is left to answer
	default:
		left()
		_ = d.up.SetReadDeadline(time.Now().Add(leaveTimeout))
	}
	err := <-heard
	if stop() {
		return context.Cause(ctx)
	}
	switch {
	case owed != nil:
		return proxy.Tell(said)
	case errors.Is(said, errOver), err == nil:
		return nil // after the primary has ended in order whatever the client did is no failure
	case said != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return said
	}
	return err
}

// end notes that the primary says no more, and lets the client know.
func (d *database) end(err error) {
	d.mu.Lock()
	d.ended, d.endErr = true, err
	answering := d.answering
	d.changed.Broadcast()
	d.mu.Unlock()
	switch {
	case answering:
		d.s.interrupt(pgerror.Fatal(pgerror.ConnectionFailure, "connection to the primary was lost"))
	case err != nil:
		_ = d.legs.Client.SetDeadline(deadline.Past())
	default:
		_ = hangup.EndSide(d.legs.Client)
		_ = d.legs.Client.SetReadDeadline(time.Now().Add(leaveTimeout))
	}
}
