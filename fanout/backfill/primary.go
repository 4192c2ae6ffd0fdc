package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// commandTimeout bounds log-in and commands before WAL flows.
	commandTimeout = 20 * time.Second
	// silence bounds the time without a byte while WAL is owed: wal_receiver_timeout's default.
	silence = 60 * time.Second
	// spareBefore walsenders must be free before one is taken: ours and one for somebody else (ruling R25). spareAfter
	// must be free once it is ours: somebody else may have been quicker.
	spareBefore, spareAfter = 2, 1
	// maxControl bounds every message that carries no WAL, in bytes.
	maxControl = 1 << 20
)

// oldest is the protocol version in which commands are rendered: none of ours changed since.
const oldest grammar.Version = 140000

// What can go wrong with the primary.
var (
	errBusy         = errors.New("the last free walsender of the primary is left to others")
	errNotConnected = errors.New("the upstream is not connected")
	// ErrTimelineEnded: the server has no more WAL on that timeline.
	ErrTimelineEnded = errors.New("the timeline ended")
	errProtocol      = errors.New("protocol violation by the upstream walsender")
)

// Connector logs in to the primary; *upstream.Config is one.
type Connector interface {
	Connect(ctx context.Context, params map[string]string) (*upstream.Session, error)
}

// Primary streams old WAL from the upstream server, without a slot, as a second walsender.
type Primary struct {
	Upstream Connector
	Name     string      // application_name
	Ready    func() bool // nil: always; false while the walreceiver has no connection: it goes first
}

// String names the source.
func (p *Primary) String() string { return "primary" }

// Open connects and starts the stream; it blocks for commandTimeout at most. ctx bounds the whole reading. It fails
// while the walreceiver has no connection, and while the primary has too few walsenders to spare.
func (p *Primary) Open(ctx context.Context, id walstore.Identity, r Run) (io.ReadCloser, error) {
	if p.Ready != nil && !p.Ready() {
		return nil, errNotConnected
	}
	begin, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := p.spare(begin, spareBefore); err != nil {
		return nil, err
	}
	s, err := p.Upstream.Connect(begin, map[string]string{"replication": "true", "application_name": p.Name})
	if err != nil {
		return nil, err
	}
	var w *stream
	if err = p.spare(begin, spareAfter); err == nil {
		w, err = streamFrom(ctx, begin, s, id, r)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	w.ready, w.segment = p.Ready, id.SegSize
	return w, nil
}

// Stream delivers the bytes of r in order from a walsender session of the system that id names, without
// slot and without reporting a position. Closing it closes the session.
func Stream(ctx context.Context, s *upstream.Session, id walstore.Identity, r Run) (io.ReadCloser, error) {
	begin, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	w, err := streamFrom(ctx, begin, s, id, r)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func streamFrom(ctx, begin context.Context, s *upstream.Session, id walstore.Identity, r Run) (*stream, error) {
	if err := start(begin, s, id, r); err != nil {
		return nil, err
	}
	w := &stream{s: s, at: r.Start, end: r.End}
	w.stop = context.AfterFunc(ctx, func() { _ = s.Conn.Close() })
	return w, nil
}

// spare asks whether so many walsenders are free. A server that does not let us ask SQL decides itself.
func (p *Primary) spare(ctx context.Context, least int) error {
	s, err := p.Upstream.Connect(ctx, map[string]string{"application_name": p.Name})
	if err != nil {
		return nil
	}
	defer s.Close()
	res, err := s.Query(ctx, "SELECT pg_catalog.current_setting('max_wal_senders')::int - "+
		"(SELECT count(*) FROM pg_catalog.pg_stat_replication)")
	if err != nil || len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) != 1 {
		return nil
	}
	if free, err := strconv.Atoi(string(res[0].Rows[0][0])); err == nil && free < least {
		return errBusy
	}
	return nil
}

// start makes sure that the server is the one whose WAL is stored, and begins COPY.
func start(ctx context.Context, s *upstream.Session, id walstore.Identity, r Run) error {
	res, err := s.Query(ctx, grammar.Render(&grammar.IdentifySystem{}, oldest))
	if err != nil {
		return fmt.Errorf("identify system: %w", err)
	}
	if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < 3 {
		return fmt.Errorf("identify system: %w", errProtocol)
	}
	if got := string(res[0].Rows[0][0]); got != id.System.String() {
		return fmt.Errorf("%w: the store is of system %s, the upstream is %s",
			walstore.ErrForeignSystem, id.System, got)
	}
	command := grammar.Render(&grammar.StartPhysical{At: r.Start, Timeline: r.Timeline}, oldest)
	copying, _, err := s.StartCopy(ctx, command)
	if err == nil && !copying {
		err = fmt.Errorf("%w: timeline %s ends before %s there", ErrTimelineEnded, r.Timeline, r.Start)
	}
	return err
}

// stream is the WAL [at, end) of a COPY.
type stream struct {
	s       *upstream.Session
	stop    func() bool
	ready   func() bool // asked at each segment; nil: always
	segment lsn.SegSize
	at, end lsn.LSN
	left    int // WAL of the current message that was not read yet
}

// Close ends the session, and so gives the walsender back. It may be called again.
func (w *stream) Close() error {
	if !w.stop() {
		return nil // closed already
	}
	w.s.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = w.s.Conn.Write(wire.AppendHeader(nil, 'c', 0)) // or the server logs an unexpected end
	return w.s.Close()
}

// Read returns WAL; io.EOF at the end of what was asked for. It blocks until the primary sends, for the time of silence
// at most. Between segments it fails once the walreceiver has lost its connection.
func (w *stream) Read(p []byte) (int, error) {
	if w.at >= w.end {
		return 0, io.EOF
	}
	if w.ready != nil && w.at%lsn.LSN(w.segment) == 0 && !w.ready() {
		return 0, errNotConnected // it may need the very walsender that we have
	}
	w.s.Conn.SetReadDeadline(time.Now().Add(silence))
	for w.left == 0 {
		if err := w.message(); err != nil {
			return 0, err
		}
	}
	n := min(len(p), w.left)
	if lsn.LSN(n) > w.end-w.at {
		n = int(w.end - w.at)
	}
	n, err := w.s.Reader.Read(p[:n])
	w.left -= n
	w.at += lsn.LSN(n)
	return n, err
}

// message reads one message, up to its WAL if it has some; left is its length then. WAL that does not begin at w.at is
// an error. It blocks until the read deadline.
func (w *stream) message() error {
	h, err := w.s.Reader.Next()
	if err != nil {
		return fmt.Errorf("read from the primary: %w", err)
	}
	if h.Type != 'd' {
		return w.control(h)
	}
	head, err := w.s.Reader.Body(min(h.Size, copyboth.XLogDataHeaderSize), copyboth.XLogDataHeaderSize)
	if err != nil {
		return fmt.Errorf("read from the primary: %w", err)
	}
	if k, err := copyboth.DecodePrimaryKeepalive(head); err == nil && h.Size == copyboth.PrimaryKeepaliveSize {
		if k.ReplyRequested {
			return w.reply()
		}
		return nil
	}
	x, err := copyboth.DecodeXLogData(head)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if x.Start != w.at {
		return fmt.Errorf("%w: WAL at %s, expected %s", errProtocol, x.Start, w.at)
	}
	w.left = h.Size - copyboth.XLogDataHeaderSize
	return nil
}

// control handles a message that is no CopyData: nil for one that may come at any time. An ERROR is returned as such;
// [ErrTimelineEnded]: the server has ended the stream.
func (w *stream) control(h wire.Header) error {
	body, err := w.s.Reader.Body(h.Size, maxControl)
	if err != nil {
		return fmt.Errorf("read from the primary: %w", err)
	}
	switch h.Type {
	case 'E':
		if e, ok := wire.ParseError(body); ok {
			return e
		}
	case 'c', 'C':
		return fmt.Errorf("%w: the server ended the stream at %s", ErrTimelineEnded, w.at)
	case 'N', 'S':
		return w.s.Async(h.Type, body)
	}
	return fmt.Errorf("%w: message type %q", errProtocol, h.Type)
}

// reply sends a sign of life without any position: synchronous replication leaves it out (facts C3).
func (w *stream) reply() error {
	m := copyboth.StatusUpdate{SentAt: copyboth.TimeOf(time.Now())}
	b := m.Append(wire.AppendHeader(nil, 'd', copyboth.StatusUpdateSize))
	_, err := w.s.Conn.Write(b)
	return err
}
