package physical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/console"
	"github.com/replproxy/replproxy/proxy/relay"
)

// saidConn is a connection whose client has said all it will; what it is told is kept.
type saidConn struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *saidConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *saidConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *saidConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (c *saidConn) SetDeadline(time.Time) error      { return nil }
func (c *saidConn) SetReadDeadline(time.Time) error  { return nil }
func (c *saidConn) SetWriteDeadline(time.Time) error { return nil }

// smallHub has a few slots and streams nothing: COPY lasts until the standby ends it.
type smallHub struct {
	slots map[string]bool // true: temporary
}

func (h *smallHub) Fetchable() (fanout.Identity, error) { return h.Identify() }

func (h *smallHub) Identify() (fanout.Identity, error) {
	return fanout.Identity{System: 7, Timeline: 1, XLogPos: 1 << 24}, nil
}

func (h *smallHub) TimelineHistory(t lsn.TimelineID) (string, []byte, error) {
	return "", nil, pgerror.New(pgerror.UndefinedFile, "no history of %s", t)
}

func (h *smallHub) CreateSlot(_ context.Context, r fanout.SlotRequest, _ int32) error {
	if err := grammar.ValidateSlotName(r.Name); err != nil {
		return err
	}
	if _, ok := h.slots[r.Name]; ok || len(h.slots) > 3 {
		return pgerror.New(pgerror.DuplicateObject, "taken")
	}
	h.slots[r.Name] = r.Temporary
	return nil
}

func (h *smallHub) ReadSlot(ctx context.Context, name string) (fanout.SlotState, bool, error) {
	return fanout.SlotState{}, h.HasSlot(ctx, name), nil
}

func (h *smallHub) HasSlot(_ context.Context, name string) bool { _, ok := h.slots[name]; return ok }

func (h *smallHub) DropSlot(ctx context.Context, name string, _ bool, _ int32) error {
	if !h.HasSlot(ctx, name) {
		return pgerror.New(pgerror.UndefinedObject, "no such slot")
	}
	delete(h.slots, name)
	return nil
}

func (h *smallHub) Yields(string) error { return nil }

func (h *smallHub) BackupBegins(fanout.SessionInfo) (end func()) { return func() {} }

func (h *smallHub) DropTemporary(int32) {
	for name, temporary := range h.slots {
		if temporary {
			delete(h.slots, name)
		}
	}
}

func (h *smallHub) StartReplication(_ context.Context, r fanout.StartRequest, _ fanout.SessionInfo, conn fanout.Conn,
) (*fanout.NextTimeline, error) {
	if r.Timeline > 1 {
		return nil, pgerror.New(pgerror.InternalError, "no such timeline")
	}
	if _, err := conn.Net.Write(wire.AppendFrame(nil, 'W', []byte{0, 0, 0})); err != nil {
		return nil, fanout.ErrSessionOver
	}
	for {
		f, err := conn.Frames.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", fanout.ErrSessionOver, err)
		}
		switch err := conn.Frames.Discard(f.Size); {
		case err != nil || f.Type == 'X':
			return nil, fmt.Errorf("%w: %w", fanout.ErrSessionOver, err)
		case f.Type == 'c':
			if _, err := conn.Net.Write(wire.AppendFrame(nil, 'c', nil)); err != nil {
				return nil, fanout.ErrSessionOver
			}
			return nil, nil
		case f.Type != 'd':
			return nil, pgerror.Fatal(pgerror.ProtocolViolation, "invalid standby message type %q", f.Type)
		}
	}
}

// noSession is a connection of which the server knows nothing.
type noSession struct{}

func (noSession) ID() proxy.SessionID                       { return 1 }
func (noSession) PID() int32                                { return 1 }
func (noSession) Access() (d access.Decision)               { return d }
func (noSession) Verified() *roles.Verified                 { return nil }
func (noSession) Refused(*pgerror.Error)                    {}
func (noSession) Proved()                                   {}
func (noSession) PhysicalAccess() access.Decision           { return access.Decision{Method: access.Trust} }
func (noSession) Origin() string                            { return "here" }
func (noSession) SetState(proxy.State)                      {}
func (noSession) SetApplicationName(string)                 {}
func (noSession) SetUpstream(*relay.Upstream)               {}
func (noSession) OnCancel([]byte, func()) (withdraw func()) { return func() {} }

// FuzzSession lets a client that has logged in say anything, COPY included, as a walsender of each major and as a
// console. Properties: the session ends, and the client reads whole messages of known types. Each command ends in one
// ReadyForQuery, and an error leaves no temporary slot. The size of the answers is bounded by that of the commands.
func FuzzSession(f *testing.F) {
	query := func(s string) []byte { return wire.AppendFrame(nil, 'Q', append([]byte(s), 0)) }
	for _, b := range [][]byte{
		slices.Concat(query("IDENTIFY_SYSTEM"), query("SHOW wal_segment_size"), query("SELECT 1")),
		slices.Concat(query("START_REPLICATION SLOT x PHYSICAL 0/1000000 TIMELINE 1"),
			wire.AppendFrame(nil, 'd', []byte("r")), wire.AppendFrame(nil, 'c', nil), query("IDENTIFY_SYSTEM")),
		slices.Concat(query("START_REPLICATION 0/0"), query("IDENTIFY_SYSTEM")),
		slices.Concat(query("CREATE_REPLICATION_SLOT a TEMPORARY PHYSICAL (RESERVE_WAL)"), query("DROP_REPLICATION_SLOT b WAIT")),
		slices.Concat(query("READ_REPLICATION_SLOT a"), query("ALTER_REPLICATION_SLOT a (FAILOVER)"), query("TIMELINE_HISTORY 2")),
		slices.Concat(query("UPLOAD_MANIFEST"), wire.AppendFrame(nil, 'd', []byte("{}")), query("BASE_BACKUP (LABEL 'x')")),
		slices.Concat(wire.AppendFrame(nil, 'P', []byte("\x00x\x00\x00\x00")), wire.AppendFrame(nil, 'S', nil)),
		slices.Concat(wire.AppendFrame(nil, 'F', nil), wire.AppendFrame(nil, 'H', nil), wire.AppendFrame(nil, 'H', []byte("x"))),
		wire.AppendHeader(nil, 'Q', 1<<30), []byte("Q\x00\x00\x00\x03"), wire.AppendFrame(nil, '!', nil), []byte("X"),
		query("SHOW STATUS"), query("SELECT pid FROM pg_stat_activity; BEGIN"),
		slices.Concat(wire.AppendFrame(nil, 'P', []byte("\x00SELECT $1::int\x00\x00\x00")),
			wire.AppendFrame(nil, 'B', []byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x011\x00\x00")),
			wire.AppendFrame(nil, 'D', []byte("P\x00")), wire.AppendFrame(nil, 'E', []byte("\x00\x00\x00\x00\x00")),
			wire.AppendFrame(nil, 'S', nil)),
	} {
		f.Add(b, uint8(15))
		f.Add(b, uint8(18))
		f.Add(b, uint8(0))
	}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, said []byte, major uint8) {
		hub := &smallHub{slots: map[string]bool{"x": false}}
		conn := &saidConn{in: bytes.NewReader(said)}
		s := &session{
			h: &Handler{o: Options{Hub: hub, Logger: log, Voters: func() *access.Voters { return nil }, Settings: func() map[string]string {
				return map[string]string{"wal_segment_size": "16MB", "TimeZone": "UTC"}
			}}},
			req: &handshake.Request{Conn: conn}, server: noSession{}, client: newClient(conn), started: time.Now(),
			parameters: map[string]string{}, version: grammar.Version(14+int(major)%5) * 10000,
		}
		if major == 0 {
			s.parameters["server_version"] = "18.1"
			s.console = func(c console.Client) *console.Session {
				return console.New(func() *console.Snapshot { return &console.Snapshot{Status: &admin.Status{}} }, c)
			}
		}
		run := s.loop
		if s.console != nil {
			run = s.converse
		}
		err := run(t.Context())
		if err == nil {
			t.Fatal("the session ended without a reason")
		}
		var e *pgerror.Error
		if !errors.As(err, &e) && !errors.Is(err, errOver) && !errors.Is(err, errClientGone) {
			t.Fatalf("ended by %v", err)
		}
		if conn.out.Len() > 600*len(said)+1000 {
			t.Fatalf("%d bytes were answered to %d", conn.out.Len(), len(said))
		}
		failed := check(t, conn.out.Bytes())
		for name, temporary := range hub.slots {
			if temporary && failed {
				t.Fatalf("slot %s outlived an error", name)
			}
		}
	})
}

// check reads the messages to the client; failed: the last command was refused.
func check(t *testing.T, told []byte) (failed bool) {
	t.Helper()
	r := wire.NewReader(bytes.NewReader(told), 4096)
	for errors := 0; ; {
		h, err := r.Next()
		if err == io.EOF {
			return failed
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := r.Body(h.Size, len(told))
		if err != nil {
			t.Fatal(err)
		}
		switch h.Type {
		case 'Z':
			errors = 0
		case 'E':
			// A refused message of the extended protocol, and the Sync or the garbage that ends the skipping
			// (PostgreSQL says both, too).
			if errors++; errors > 2 {
				t.Fatal("three errors for one command")
			}
			if _, ok := wire.ParseError(body); !ok {
				t.Fatalf("malformed error %q", body)
			}
			failed = true
		case 'C', 'W':
			failed = false
		case 'T', 'D', 'N', 'I', 'S', 'c', '1', '2', '3', 't', 'n', 's':
		default:
			t.Fatalf("message of type %q", h.Type)
		}
	}
}
