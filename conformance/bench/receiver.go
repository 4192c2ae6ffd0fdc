package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// readBuffer bounds one read: it has room for small commits. The rest of a large message never leaves the kernel, so
// that a receiver costs little beside who sends.
const readBuffer = 4 * 1024

// tlsBuffer has room for one whole WAL message (128 KiB and headers), which has to be decrypted.
const tlsBuffer = 256 * 1024

// replyEvery keeps the walsender's timeout away without adding work.
const replyEvery = time.Second

// receiver streams WAL and throws it away.
type receiver struct {
	conn    net.Conn
	r       *wire.Reader
	at      lsn.LSN
	bytes   int64
	flushed lsn.LSN // what it says that it has flushed and applied; 0: nothing
}

// logIn logs in as a physical walsender client under a name.
func logIn(ctx context.Context, conninfo, name string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["replication"] = "true"
	cfg.RuntimeParams["application_name"] = name
	return pgconn.ConnectConfig(ctx, cfg)
}

// connectReceiver logs in as a physical walsender client and starts streaming at start.
func connectReceiver(ctx context.Context, conninfo, name string, start lsn.LSN) (*receiver, error) {
	r, err := prepareReceiver(ctx, conninfo, name)
	if err != nil {
		return nil, err
	}
	return r, r.begin(start)
}

// prepareReceiver logs in as a physical walsender client.
func prepareReceiver(ctx context.Context, conninfo, name string) (*receiver, error) {
	pg, err := logIn(ctx, conninfo, name)
	if err != nil {
		return nil, err
	}
	if _, err := pg.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll(); err != nil {
		return nil, err
	}
	h, err := pg.Hijack()
	if err != nil {
		return nil, err
	}
	size := readBuffer
	if _, plain := h.Conn.(*net.TCPConn); !plain {
		size = tlsBuffer
	}
	return &receiver{conn: h.Conn, r: wire.NewReader(h.Conn, size)}, nil
}

// begin starts streaming.
func (r *receiver) begin(start lsn.LSN) error {
	q := fmt.Sprintf("START_REPLICATION PHYSICAL %s\x00", start)
	r.at = start
	_, err := r.conn.Write(wire.AppendFrame(nil, 'Q', []byte(q)))
	return err
}

// next reads one message of the stream, and WAL beyond its header not at all. It returns the tag, and whether the
// sender asks for a reply; 0: it was none of the stream's.
func (r *receiver) next() (tag byte, asked bool, err error) {
	h, err := r.r.Next()
	if err != nil {
		return 0, false, fmt.Errorf("read at %s: %w", r.at, err)
	}
	if h.Type != 'd' {
		body, err := r.r.Body(h.Size, tlsBuffer)
		if h.Type == 'E' || err != nil {
			return 0, false, fmt.Errorf("stream ended: %q", body)
		}
		return 0, false, nil
	}
	var room [copyboth.XLogDataHeaderSize]byte
	head := room[:min(h.Size, len(room))]
	if _, err := io.ReadFull(r.r, head); err != nil {
		return 0, false, err
	}
	rest := h.Size - len(head)
	if err := r.skip(rest); err != nil {
		return 0, false, err
	}
	if head[0] == copyboth.TagXLogData {
		r.at = lsn.LSN(binary.BigEndian.Uint64(head[1:])) + lsn.LSN(rest)
		r.bytes += int64(rest)
	}
	return head[0], head[0] == copyboth.TagPrimaryKeepalive && head[len(head)-1] == 1, nil
}

// skip drops n bytes, in the kernel where they are still there.
func (r *receiver) skip(n int) error {
	if have := min(n, r.r.Buffered()); have > 0 {
		if err := r.r.Discard(have); err != nil {
			return err
		}
		n -= have
	}
	if c, plain := r.conn.(*net.TCPConn); plain && n >= readBuffer {
		return drop(c, n)
	}
	if n == 0 {
		return nil
	}
	return r.r.Discard(n)
}

// until reads until the stream has reached target.
func (r *receiver) until(target lsn.LSN) error {
	next := time.Now().Add(replyEvery)
	for r.at < target {
		_, asked, err := r.next()
		if err != nil {
			return err
		}
		if now := time.Now(); asked || now.After(next) {
			next = now.Add(replyEvery)
			if err := r.reply(); err != nil {
				return err
			}
		}
	}
	return r.reply()
}

func (r *receiver) reply() error {
	p := lsn.Progress{Write: r.at, Flush: r.flushed, Apply: r.flushed}
	m := copyboth.StatusUpdate{Progress: p, SentAt: copyboth.TimeOf(time.Now())}
	_, err := r.conn.Write(wire.AppendFrame(nil, 'd', m.Append(nil)))
	return err
}

func (r *receiver) close() { r.conn.Close() }
