package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// leaveWait bounds the last words on a connection: they fit into any socket buffer.
	leaveWait = time.Second
	// drainWait bounds the wait for the server to close after we said goodbye. Closing first, with unread
	// WAL in the socket, would send a reset that may overtake our last report.
	drainWait = 2 * time.Second
	// commandVersion is the server_version_num for which commands are rendered that did not change since.
	commandVersion grammar.Version = 140000
	// highestPID is that of a real server process, on Linux: the sessions of a proxy have higher ones (ruling
	// R31). Elsewhere a server may pass for a proxy, which withholds more.
	highestPID = 1 << 22
)

// Session is the [Conn] of a walsender session over PostgreSQL's protocol.
type Session struct {
	s      *upstream.Session
	buf    []byte // of Send and Offer
	rest   []byte // of buf: Offer has left it
	socket socket
	secure bool // TLS: the socket's bytes are not ours to write
}

// Over returns the Session of a logged-in connection, which it closes.
func Over(s *upstream.Session) *Session {
	c, conn := &Session{s: s}, s.Conn
	if below, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn, c.secure = below.NetConn(), true
	}
	c.socket.open(conn)
	return c
}

// Endpoint returns the server's, with the address reached.
func (c *Session) Endpoint() upstream.Endpoint { return c.s.Endpoint }

// Parameters returns the ParameterStatus messages so far.
func (c *Session) Parameters() map[string]string { return c.s.Parameters }

// Virtual reports whether the server is a proxy.
func (c *Session) Virtual() bool { return c.s.PID > highestPID }

// SSL describes the connection's encryption; nil: none.
func (c *Session) SSL() *handshake.SSL { return handshake.SSLOf(c.s.Conn) }

// Start runs START_REPLICATION with the slot, "" for none. true: WAL follows. false: the timeline of p ended there, and
// the next one begins at the StartPoint. It blocks until the answer or the end of ctx.
func (c *Session) Start(ctx context.Context, slot string, p StartPoint) (bool, StartPoint, error) {
	command := grammar.StartPhysical{Slot: slot, WithSlot: slot != "", At: p.At, Timeline: p.Timeline}
	copying, res, err := c.s.StartCopy(ctx, grammar.Render(&command, commandVersion))
	if err != nil || copying {
		return copying, StartPoint{}, err
	}
	next, err := nextTimeline(res)
	return false, next, err
}

// Receive reads the next message, and blocks until one comes or [Session.Interrupt]. Read the WAL of one before the
// next. ParameterStatus and notices are taken note of, and returned.
func (c *Session) Receive() (Message, error) {
	m, err := readMessage(c.s.Reader)
	m.arrival = c.s.Arrival
	if err == nil && (m.Kind == 'S' || m.Kind == 'N') {
		err = c.s.Async(m.Kind, m.body)
	}
	return m, err
}

// Read reads WAL of the message that was received last. Read no more than that message's Size: what follows it is the
// next message.
func (c *Session) Read(p []byte) (int, error) { return c.s.Reader.Read(p) }

// Send writes a CopyData message, behind the rest of one that was offered. It blocks for patience at most; after an
// error the session is of no use.
func (c *Session) Send(message []byte, patience time.Duration) error {
	c.buf = append(wire.AppendHeader(c.buf[:0], 'd', len(message)), message...)
	return c.write(c.buf, patience)
}

func (c *Session) write(b []byte, patience time.Duration) error {
	if err := c.s.Conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if len(c.rest) > 0 {
		b, c.rest = append(c.rest, b...), nil
	}
	_, err := c.s.Conn.Write(b)
	return err
}

// Offer writes a CopyData message: what the socket takes in one system call, or within TLS all, if it has room.
func (c *Session) Offer(message []byte, patience time.Duration) (all bool, err error) {
	c.buf = append(wire.AppendHeader(c.buf[:0], 'd', len(message)), message...)
	if c.secure && c.socket.writable() {
		return true, c.write(c.buf, patience)
	}
	n := 0
	if !c.secure {
		n, err = c.socket.write(c.buf)
	}
	c.rest = c.buf[n:]
	return len(c.rest) == 0, err
}

// Finish writes the bytes that Offer could not write. It blocks for patience at most; after an error the session is of
// no use.
func (c *Session) Finish(patience time.Duration) error { return c.write(nil, patience) }

// Interrupt lets reads end at once.
func (c *Session) Interrupt() { c.s.Conn.SetReadDeadline(deadline.Past()) }

// End answers CopyDone and reads the results up to ReadyForQuery. It returns where the next timeline begins. It blocks
// for patience to write, then until the end of ctx.
func (c *Session) End(ctx context.Context, patience time.Duration) (StartPoint, error) {
	if err := c.write(wire.AppendHeader(nil, 'c', 0), patience); err != nil {
		return StartPoint{}, err
	}
	res, err := c.s.FinishCopy(ctx)
	if err != nil {
		return StartPoint{}, err
	}
	return nextTimeline(res)
}

// Break ends COPY, refused: unless an ERROR has, and drops the WAL that is still on its way. The session is ready for a
// command then, unless it returns an error.
func (c *Session) Break(ctx context.Context, refused bool) error {
	if !refused {
		if err := c.write(wire.AppendHeader(nil, 'c', 0), leaveWait); err != nil {
			return err
		}
	}
	for ended := refused; !ended; {
		m, err := c.Receive()
		if err == nil && m.Kind == 'w' {
			_, err = io.CopyN(io.Discard, c, int64(m.Size))
		}
		if err != nil {
			return StreamError(err)
		}
		ended = m.Kind == 'c' || m.Kind == 'E'
	}
	_, err := c.s.FinishCopy(ctx)
	if errors.As(err, new(*pgerror.Error)) {
		return nil
	}
	return err
}

// Leave sends CopyDone and Terminate, and reads until the server closes.
func (c *Session) Leave() {
	if c.write(wire.AppendHeader(wire.AppendHeader(nil, 'c', 0), 'X', 0), leaveWait) != nil {
		return // it is gone already
	}
	c.s.Conn.SetReadDeadline(time.Now().Add(drainWait))
	io.Copy(io.Discard, c.s.Conn) // its end is all we wait for
}

// Disconnect closes the socket, without a word to the server. Any goroutine may call it: reads and writes then fail.
func (c *Session) Disconnect() error { return c.s.Conn.Close() }

// Slots speaks about slots by the replication commands of a server of that version.
func (c *Session) Slots(version int) Slots { return slotCommands{c.s, grammar.Version(version)} }

// nextTimeline reads the answer behind the end of a historic timeline: a row with the next timeline and where it
// begins, and two CommandCompletes (facts E6).
func nextTimeline(res []upstream.Result) (StartPoint, error) {
	row, err := oneRow(res, 2)
	if err != nil || len(res) < 2 {
		return StartPoint{}, fmt.Errorf("%w: unexpected result after the end of streaming", ErrProtocol)
	}
	tli, err1 := strconv.ParseUint(string(row[0]), 10, 32)
	at, err2 := lsn.Parse(string(row[1]))
	if err := errors.Join(err1, err2); err != nil || tli == 0 {
		return StartPoint{}, fmt.Errorf("%w: next timeline %q", ErrProtocol, row)
	}
	return StartPoint{Timeline: lsn.TimelineID(tli), At: at}, nil
}

// oneRow returns the only row of an answer, with at least columns values, of which one may be nil. Any other answer is
// [ErrProtocol].
func oneRow(res []upstream.Result, columns int) ([][]byte, error) {
	if len(res) < 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < columns {
		return nil, fmt.Errorf("%w: expected one row with %d values", ErrProtocol, columns)
	}
	return res[0].Rows[0], nil
}
